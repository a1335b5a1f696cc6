-- On the coordinator: two tables over the files of all servers.  Variables of psql:
-- "servers", a line for each: name, host, port, database; "parts", how many parts
-- there are, more than there will ever be servers; "password".  Run again, it adds
-- what is missing, and has the addresses and the password of now.  Each part stays
-- where it is.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
-- The password is not for the log.
SET LOCAL log_statement = none;
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = panic;
CREATE EXTENSION IF NOT EXISTS iopool;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
SELECT 'CREATE ROLE example_scale_out'
WHERE  NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'example_scale_out') \gexec
CREATE SCHEMA IF NOT EXISTS example_scale_out;
GRANT USAGE ON SCHEMA example_scale_out TO example_scale_out;

CREATE TEMPORARY TABLE wanted (
    place  int,
    name   name PRIMARY KEY,
    host   text NOT NULL,
    port   text NOT NULL,
    dbname text NOT NULL,
    rest   text CHECK (rest IS NULL)
) ON COMMIT DROP;
INSERT INTO wanted
SELECT row_number() OVER (ORDER BY place) - 1, w[1], w[2], w[3], w[4], w[5]
FROM   regexp_split_to_table(:'servers', '\n') WITH ORDINALITY AS s(line, place),
       regexp_split_to_array(btrim(line, E' \t\r'), '\s+') AS w
WHERE  line ~ '\S';

-- A server is one of ours if the role has a user mapping there.  So has the owner of
-- the tables: ANALYZE asks each server how large they are.
SELECT format(CASE WHEN umid IS NULL
                   THEN 'CREATE SERVER %I FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L,
                             async_capable ''true'', parallel_commit ''true'', fetch_size ''100'', connect_timeout ''5'', extensions ''iopool'')'
                   ELSE 'ALTER SERVER %I OPTIONS (SET host %L, SET port %L, SET dbname %L)' END,
              name, host, port, dbname)
FROM   wanted LEFT JOIN pg_user_mappings ON srvname = name AND usename = 'example_scale_out' \gexec
SELECT format(CASE WHEN umid IS NULL THEN 'CREATE USER MAPPING FOR %I SERVER %I OPTIONS (user ''example_scale_out'', password %L)'
                   ELSE 'ALTER USER MAPPING FOR %I SERVER %I OPTIONS (SET password %L)' END,
              who, name, :'password')
FROM   wanted CROSS JOIN unnest(ARRAY['example_scale_out', current_user]) AS who
       LEFT JOIN pg_user_mappings ON srvname = name AND usename = who \gexec

-- What the catalogues know, and the bytes with what is computed of them.
CREATE TABLE IF NOT EXISTS example_scale_out.entry (part int NOT NULL, id bigint NOT NULL, length bigint) PARTITION BY LIST (part);
CREATE TABLE IF NOT EXISTS example_scale_out.object (part int NOT NULL, id bigint NOT NULL, words int, data bytea) PARTITION BY LIST (part);
GRANT SELECT ON example_scale_out.entry, example_scale_out.object TO example_scale_out;

-- Says which server has a part, from the end of the transaction on.  It waits no longer
-- for queries than deadlock_timeout: one that wants both tables would fail instead.
CREATE OR REPLACE PROCEDURE example_scale_out.place(part int, server name) LANGUAGE plpgsql
SET client_min_messages = warning AS $$
DECLARE
    parent text;
BEGIN
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '500ms', true);
    END IF;
    FOREACH parent IN ARRAY ARRAY['entry', 'object'] LOOP
        EXECUTE format('DROP FOREIGN TABLE IF EXISTS example_scale_out.%s_%s', parent, part);
        EXECUTE format('CREATE FOREIGN TABLE example_scale_out.%1$s_%2$s
                        PARTITION OF example_scale_out.%1$s FOR VALUES IN (%2$s)
                        SERVER %3$I OPTIONS (schema_name ''example_files'', table_name ''%1$s_%2$s'')',
                       parent, part, server);
    END LOOP;
END $$;

-- One part after the other, as they are dealt out.
SELECT format('CALL example_scale_out.place(%s, %L)', part, name)
FROM   generate_series(0, :parts - 1) AS part
       JOIN wanted ON place = part % (SELECT count(*) FROM wanted)
WHERE  to_regclass('example_scale_out.object_' || part) IS NULL
ORDER  BY part \gexec

-- Where the parts are.  OFFSET 0 keeps the planner from looking for numbers in the names
-- of all tables.
CREATE OR REPLACE VIEW example_scale_out.placement AS
SELECT substr(relname, 8)::int AS part, srvname AS server
FROM  (SELECT c.relname, s.srvname
       FROM   pg_inherits AS i
              JOIN pg_class AS c ON c.oid = i.inhrelid
              JOIN pg_foreign_table AS f ON f.ftrelid = c.oid
              JOIN pg_foreign_server AS s ON s.oid = f.ftserver
       WHERE  i.inhparent = 'example_scale_out.object'::regclass
       OFFSET 0) AS p;
GRANT SELECT ON example_scale_out.placement TO example_scale_out;

-- The parts whose servers answer now, with a warning for each server that does not.
CREATE OR REPLACE FUNCTION example_scale_out.parts_up() RETURNS int[]
LANGUAGE plpgsql SET search_path = example_scale_out AS $$
DECLARE
    up int[] := '{}';
    place record;
    reason text;
BEGIN
    FOR place IN SELECT server, array_agg(part ORDER BY part) AS parts FROM placement GROUP BY server ORDER BY server LOOP
        BEGIN
            EXECUTE format('SELECT FROM entry WHERE part = %s LIMIT 1', place.parts[1]);
            up := up || place.parts;
        EXCEPTION WHEN connection_exception OR admin_shutdown OR crash_shutdown THEN
            GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL;
            RAISE WARNING 'server "%" does not answer: parts % are left out', place.server, place.parts
                USING DETAIL = concat_ws(E'\n', SQLERRM, nullif(reason, ''));
        END;
    END LOOP;
    RETURN ARRAY(SELECT unnest(up) ORDER BY 1);
END $$;
COMMIT;
