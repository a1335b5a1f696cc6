-- What all examples begin with: a directory of iopool, and a role that may read
-- below it and has no other right to files.  Variables of psql: "name" names the
-- directory and a schema, which are made anew; "dir" is the directory's path.
-- From the end of this file on, the session has that role.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS iopool;
SELECT 'CREATE ROLE example_reader'
WHERE  NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'example_reader') \gexec

DROP SCHEMA IF EXISTS :"name" CASCADE;
DROP SERVER IF EXISTS :"name" CASCADE;
CREATE SERVER :"name" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir');
GRANT USAGE ON FOREIGN SERVER :"name" TO example_reader;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO example_reader;

CREATE SCHEMA :"name" AUTHORIZATION example_reader;
SET search_path = :"name", public;
SET ROLE example_reader;
