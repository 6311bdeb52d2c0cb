// mysql2 as a support engineer's script has it, against the gateway: one line of JSON for each finding.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.JOURNEY_MODULES}/`);
const mysql = require('mysql2/promise');
const tell = (name, value) => console.log(JSON.stringify([name, value]));
const pool = mysql.createPool({
  host: 'localhost',
  port: Number(process.env.MYSQL_PORT),
  user: process.env.MYSQL_USER_NAME,
  password: process.env.MYSQL_PASSWORD,
  database: 'ledger',
  ssl: { ca: readFileSync(process.env.MYSQL_CA) },
  connectionLimit: 3,
  dateStrings: true,
});

let [rows, fields] = await pool.query('SELECT id, email, salary, birth_date FROM employees ORDER BY id LIMIT 3');
tell('text', rows);
tell('fields', fields.map((field) => field.name));
[rows] = await pool.execute('SELECT id, email, salary, birth_date FROM employees ORDER BY id LIMIT ?', ['3']);
tell('binary', rows);
for (const company of [Number(process.env.MYSQL_CUSTOMER), Number(process.env.MYSQL_CUSTOMER) + 1]) {
  tell('count', (await pool.execute('SELECT count(*) AS n FROM employees WHERE company_id = ?', [company]))[0][0].n);
}
const at_once = [1, 2, 3, 4, 5].map((n) => pool.query('SELECT ? AS n, count(*) AS c FROM departments', [n]));
tell('pool', (await Promise.all(at_once)).map(([[row]]) => row.n));

const connection = await pool.getConnection();
await connection.beginTransaction();
tell('transaction', (await connection.query('SELECT count(*) AS n FROM payslips'))[0].length);
await connection.rollback();
let streamed = 0;
for await (const row of connection.connection.query('SELECT id, phone FROM employees').stream()) streamed += row.id > 0 ? 1 : 0;
tell('streamed', streamed);
for (const wrong of ['SELECT notes FROM employees', 'DELETE FROM employees', 'SELECT * FROM mysql.user', 'SELECT 1 FROM']) {
  for (const way of ['query', 'execute']) {
    await connection[way](wrong).then(
      () => tell('no error', wrong),
      (error) => tell('error', [way, error.errno, error.sqlState, error.sqlMessage]),
    );
  }
}
await connection.ping();
await connection.reset();
tell('after', (await connection.query('SELECT 1 AS one'))[0]);
connection.release();
await pool.end();
