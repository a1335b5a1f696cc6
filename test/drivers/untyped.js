// Calls by node-postgres, which sends parameters without types.
//
//   node untyped.js host port user file      lines as t/073_drivers.pl expects them

const { Client } = require('pg');

const [host, port, user, file] = process.argv.slice(2);
const calls = [
	['read', 'SELECT iopool_read($1, $2, $3)', [file, 8, 8]],
	['tail', 'SELECT iopool_read($1, $2, $3)', [file, -8, 8]],
	['missing', 'SELECT iopool_read($1, $2, $3, $4)', [file + '.gone', 0, 8, true]],
	['whole', 'SELECT substr(iopool_read($1), 9, 8)', [file]],
	['whole, missing', 'SELECT iopool_read($1, $2)', [file + '.gone', true]],
	['batch', 'SELECT data FROM iopool_read_batch($1, $2, $3)', [file, [0, 8], [8]]],
	['batch, all arguments', 'SELECT data FROM iopool_read_batch($1, $2, $3, $4, $5)', [file, [16, 24], [8, 4], 'report', true]],
	['batch of files', 'SELECT data FROM iopool_read_batch($1::text[], $2, $3, $4)', [[file, file], [0, 8], [8], 'raise']],
	['array', 'SELECT unnest(iopool_read_array($1, $2, $3, $4))', [file, [0, null], [8], 'report']],
	['prefetch', 'SELECT int4send(iopool_prefetch($1, $2, $3)::int)', [file, [0, 8], [8, 8]]],
	['request', 'SELECT data FROM iopool_fetch(iopool_submit($1, $2, $3), $4)', [file, [0, 8], [8], 'raise']]];

async function main() {
	const client = new Client({ host, port: Number(port), user, database: 'postgres' });
	await client.connect();
	for (const [name, text, values] of calls) {
		const result = await client.query({ text, values, rowMode: 'array' });
		console.log(`${name}: ` + result.rows.map(([v]) => v === null ? 'null' : v.toString('hex')).join(' '));
	}
	await client.end();
}

main().catch((e) => { console.log(`failed: ${e.message}`); process.exitCode = 1; });
