-- Calls whose arguments have no type: parameters as drivers send them, and
-- quoted literals.  Each finds its function, with every number of arguments.

CREATE TEMP TABLE untyped (function text, nargs int, given text, types text, result text);

-- what has an argument of type internal is for the server alone, as is a handler
DO $$
DECLARE
	f record;
	args text;
BEGIN
	FOR f IN SELECT DISTINCT p.proname, n AS nargs
		FROM pg_proc p
			JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'iopool',
			generate_series((p.pronargs - p.pronargdefaults)::int, p.pronargs) AS n
		WHERE 'internal'::regtype <> ALL (p.proargtypes) AND p.prorettype <> 'fdw_handler'::regtype
		ORDER BY 1, 2
	LOOP
		SELECT string_agg('$' || i, ', ' ORDER BY i) INTO args FROM generate_series(1, f.nargs) AS i;
		BEGIN
			EXECUTE format('PREPARE p AS SELECT * FROM %I(%s)', f.proname, args);
			INSERT INTO untyped SELECT f.proname, f.nargs, 'parameters', array_to_string(parameter_types, ', '), 'found'
			FROM pg_prepared_statements WHERE name = 'p';
			DEALLOCATE p;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO untyped VALUES (f.proname, f.nargs, 'parameters', NULL, SQLERRM);
		END;
		SELECT string_agg(CASE WHEN t.type LIKE '%[]' THEN '''{}''' WHEN t.type = 'boolean' THEN '''true''' ELSE '''0''' END, ', ' ORDER BY t.i) INTO args
		FROM untyped AS u, LATERAL string_to_table(u.types, ', ') WITH ORDINALITY AS t (type, i)
		WHERE u.function = f.proname AND u.nargs = f.nargs AND u.types <> '';
		BEGIN
			EXECUTE format('PREPARE p AS SELECT * FROM %I(%s)', f.proname, args);
			DEALLOCATE p;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO untyped VALUES (f.proname, f.nargs, 'literals', NULL, SQLERRM);
		END;
	END LOOP;
END
$$;
SELECT function, nargs, types FROM untyped WHERE result = 'found' ORDER BY function COLLATE "C", nargs;
SELECT * FROM untyped WHERE result <> 'found';

-- functions of one name and number of arguments differ in the path alone
SELECT p.oid::regprocedure AS function, q.oid::regprocedure AS other
FROM pg_proc p JOIN pg_proc q ON q.proname = p.proname AND q.oid > p.oid
	AND int4range(p.pronargs - p.pronargdefaults, p.pronargs, '[]') && int4range(q.pronargs - q.pronargdefaults, q.pronargs, '[]')
WHERE p.proname LIKE 'iopool\_%'
	AND EXISTS (SELECT FROM unnest(p.proargtypes::oid[], q.proargtypes::oid[]) WITH ORDINALITY AS a (one, two, i)
				WHERE a.i > 1 AND a.one <> a.two);

-- and they read
PREPARE one AS SELECT iopool_read($1, $2, $3);
EXECUTE one('iopool_words', '8', '8');
PREPARE many AS SELECT ordinal, data FROM iopool_read_batch($1, $2, $3);
EXECUTE many('iopool_words', '{0,8}', '{8}');
PREPARE many_files AS SELECT ordinal, data FROM iopool_read_batch($1::text[], $2, $3, $4, $5)
	ORDER BY 1;
EXECUTE many_files('{iopool_words,iopool_other}', '{8,8}', '{8}', 'report', 'false');
SELECT iopool_read('iopool_words', '8', '8');
SELECT ordinal, data FROM iopool_read_batch('iopool_words', '{0,8}', '{8}', 'report');
SELECT iopool_read_array('iopool_words', '{0,8}', '{8,4}');
SELECT iopool_prefetch('iopool_words', '{0,8}', '{8}');
BEGIN;
SELECT data FROM iopool_fetch(iopool_submit('iopool_words', '{0,8}', '{8}'));
COMMIT;
DEALLOCATE ALL;
DROP TABLE untyped;
