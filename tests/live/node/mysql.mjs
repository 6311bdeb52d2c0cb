// mysql2 against whatever MYSQL_PORT is: one line of JSON for each finding, the same from a server and through a relay.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.JOURNEY_MODULES}/`);
const mysql = require('mysql2/promise');
const tell = (name, value) => console.log(JSON.stringify([name, value]));

const connection = await mysql.createConnection({
  host: 'localhost',
  port: Number(process.env.MYSQL_PORT),
  user: process.env.MYSQL_USER_NAME,
  password: process.env.MYSQL_PASSWORD,
  database: 'shop',
  ssl: { ca: readFileSync(process.env.MYSQL_CA) },
  // by MariaDB's extended metadata it knows JSON columns, through the relay it does not: those are not offered
  jsonStrings: true,
  dateStrings: true,
  supportBigNumbers: true,
  bigNumberStrings: true,
});
// where no session is tracked, it takes the length ahead of the words for one of them
const done = (result) => ({ ...result, info: result.info.replace(/^[&(]/, '') });
const shown = (fields) => fields.map((f) => [f.name, f.orgName, f.table, f.orgTable, f.schema, f.columnType, f.flags]);

await connection.query('TRUNCATE notes');
let [rows, fields] = await connection.query('SELECT * FROM kinds ORDER BY id');
tell('text', rows);
tell('text fields', shown(fields));

[rows, fields] = await connection.execute('SELECT * FROM kinds ORDER BY id');
tell('binary', rows);
tell('binary fields', shown(fields));

const statement = await connection.prepare('SELECT ? AS a, ? AS b, ? AS c, ? AS d');
for (const values of [[1, 'é', null, 2.5], [null, '', -7, 'x'.repeat(70000)], ['2024-02-29', Buffer.from([0, 255]), 1, 0]]) {
  tell('execute', (await statement.execute(values))[0]);
}
await statement.close();

tell('insert', done((await connection.execute('INSERT INTO notes (body) VALUES (?), (?)', ['one', 'two']))[0]));
tell('update', done((await connection.query("UPDATE notes SET body = 'three' WHERE body = 'two'"))[0]));
for (const wrong of ['SELECT nothing', 'SELECT 1 FROM', "SELECT * FROM kinds WHERE x'"]) {
  await connection.query(wrong).catch((error) => tell('error', [error.errno, error.sqlState, error.sqlMessage]));
}
await connection.execute('SELECT ? FROM nowhere', [1]).catch((error) => tell('error', [error.errno, error.sqlState]));
await connection.query('DROP TABLE IF EXISTS nowhere');
tell('warnings', (await connection.query('SHOW WARNINGS'))[0]);
tell('called', (await connection.query('CALL two_results()'))[0]);
tell('called prepared', (await connection.execute('CALL two_results()'))[0]);
await connection.ping();
await connection.query('SET @kept = 1');
await connection.changeUser({ user: process.env.MYSQL_USER_NAME, password: process.env.MYSQL_PASSWORD, database: 'shop' });
tell('changed user', (await connection.query('SELECT @kept AS kept, DATABASE() AS d'))[0]);
await connection.changeUser({ user: 'nobody', password: 'nothing' }).catch((error) => tell('change of user', error.errno));
connection.destroy();
