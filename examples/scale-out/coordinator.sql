-- On the coordinator: two tables over the files of all servers.  Variables of psql:
-- "servers", a line for each: name, host, port, database; "parts", how many parts
-- there are, more than there will ever be servers; "password".
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS iopool;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
SELECT 'CREATE ROLE example_scale_out'
WHERE  NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'example_scale_out') \gexec

DROP SCHEMA IF EXISTS example_scale_out CASCADE;
CREATE SCHEMA example_scale_out;
GRANT USAGE ON SCHEMA example_scale_out TO example_scale_out;
SET search_path = example_scale_out, public;

CREATE TEMPORARY TABLE wanted AS
SELECT place - 1 AS place, w[1] AS name, w[2] AS host, w[3] AS port, w[4] AS dbname
FROM   regexp_matches(:'servers', '(\S+)\s+(\S+)\s+(\S+)\s+(\S+)', 'g') WITH ORDINALITY AS s(w, place);

SELECT format('DROP SERVER IF EXISTS %I CASCADE', name) FROM wanted \gexec
SELECT format('CREATE SERVER %I FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L,
                   async_capable ''true'', parallel_commit ''true'', fetch_size ''100'', connect_timeout ''5'', extensions ''iopool'')',
              name, host, port, dbname)
FROM   wanted \gexec
-- password_required: a server may let the coordinator in without asking for it.
SELECT format('CREATE USER MAPPING FOR example_scale_out SERVER %I
                   OPTIONS (user ''example_scale_out'', password %L, password_required ''false'')', name, :'password')
FROM   wanted \gexec

-- What the catalogues know, and the bytes with what is computed of them.
CREATE TABLE entry (part int NOT NULL, id bigint NOT NULL, length bigint) PARTITION BY LIST (part);
CREATE TABLE object (part int NOT NULL, id bigint NOT NULL, words int, data bytea) PARTITION BY LIST (part);
GRANT SELECT ON entry, object TO example_scale_out;

-- Says which server has a part, from the end of the transaction on.
CREATE PROCEDURE place(part int, server name) LANGUAGE plpgsql AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['entry', 'object'] LOOP
        EXECUTE format('DROP FOREIGN TABLE IF EXISTS example_scale_out.%s_%s', parent, part);
        EXECUTE format('CREATE FOREIGN TABLE example_scale_out.%1$s_%2$s
                        PARTITION OF example_scale_out.%1$s FOR VALUES IN (%2$s)
                        SERVER %3$I OPTIONS (schema_name ''example_files'', table_name ''%1$s_%2$s'')',
                       parent, part, server);
    END LOOP;
END $$;

-- One part after the other, as they are dealt out.
SELECT format('CALL place(%s, %L)', part, name)
FROM   generate_series(0, :parts - 1) AS part
       JOIN wanted ON place = part % (SELECT count(*) FROM wanted)
ORDER  BY part \gexec

-- Where the parts are.
CREATE VIEW placement AS
SELECT substr(c.relname, 8)::int AS part, s.srvname AS server
FROM   pg_inherits AS i
       JOIN pg_class AS c ON c.oid = i.inhrelid
       JOIN pg_foreign_table AS f ON f.ftrelid = c.oid
       JOIN pg_foreign_server AS s ON s.oid = f.ftserver
WHERE  i.inhparent = 'example_scale_out.object'::regclass;
GRANT SELECT ON placement TO example_scale_out;

-- The parts whose servers answer now, with a warning for each server that does not.
CREATE FUNCTION parts_up() RETURNS int[]
LANGUAGE plpgsql SET search_path = example_scale_out AS $$
DECLARE
    up int[] := '{}';
    place record;
BEGIN
    FOR place IN SELECT server, array_agg(part ORDER BY part) AS parts FROM placement GROUP BY server ORDER BY server LOOP
        BEGIN
            EXECUTE format('SELECT FROM entry WHERE part = %s LIMIT 1', place.parts[1]);
            up := up || place.parts;
        EXCEPTION WHEN connection_exception THEN
            RAISE WARNING 'server "%" does not answer: parts % are left out', place.server, place.parts
                USING DETAIL = SQLERRM;
        END;
    END LOOP;
    RETURN ARRAY(SELECT unnest(up) ORDER BY 1);
END $$;
