-- On each server that has files: a directory, the catalogue of what is in it, and
-- a view of each part.  Variables of psql: "dir", the path of the directory;
-- "parts", how many parts there are on all servers together; "password", by which
-- the coordinator connects.  Run again, it adds what is missing, and has the
-- directory and the password of now.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
-- The password is not for the log.
SET LOCAL log_statement = none;
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = panic;
CREATE EXTENSION IF NOT EXISTS iopool;
SELECT 'CREATE ROLE example_scale_out'
WHERE  NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'example_scale_out') \gexec
ALTER ROLE example_scale_out LOGIN PASSWORD :'password';

SELECT format(CASE count(*) WHEN 0 THEN 'CREATE SERVER example_files FOREIGN DATA WRAPPER iopool_directory OPTIONS (path %L)'
                            ELSE 'ALTER SERVER example_files OPTIONS (SET path %L)' END, :'dir')
FROM   pg_foreign_server
WHERE  srvname = 'example_files' \gexec
GRANT USAGE ON FOREIGN SERVER example_files TO example_scale_out;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO example_scale_out;

CREATE SCHEMA IF NOT EXISTS example_files;
GRANT USAGE ON SCHEMA example_files TO example_scale_out;
CREATE TABLE IF NOT EXISTS example_files.entry (
    part        int,
    id          bigint,
    file        text NOT NULL,
    file_offset bigint NOT NULL,
    length      bigint NOT NULL,
    PRIMARY KEY (part, id)
);

-- A function of yours that runs where the bytes are.
CREATE OR REPLACE FUNCTION example_files.words(document bytea) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_count(convert_from(document, 'UTF8'), '\S+');

-- The views of a part.  Each server has those of all parts, so that each can take
-- any of them.  The call stands in FROM: postgres_fdw fetches by a cursor, in which
-- calls in the select list would not be read ahead.
CREATE OR REPLACE PROCEDURE example_files.add_part(part int) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW example_files.entry_%1$s AS
                    SELECT part, id, length FROM example_files.entry WHERE part = %1$s', part);
    EXECUTE format('CREATE OR REPLACE VIEW example_files.object_%1$s AS
                    SELECT e.part, e.id, example_files.words(d.data) AS words, d.data
                    FROM   example_files.entry AS e,
                           iopool_read(''example_files:'' || e.file, e.file_offset, e.length) AS d(data)
                    WHERE  e.part = %1$s', part);
    EXECUTE format('GRANT SELECT ON example_files.entry_%1$s, example_files.object_%1$s TO example_scale_out', part);
END $$;
SELECT format('CALL example_files.add_part(%s)', part)
FROM   generate_series(0, :parts - 1) AS part \gexec
COMMIT;
