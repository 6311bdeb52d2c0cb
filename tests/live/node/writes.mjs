// mysql2 as a script that corrects data has it, against the gateway: one line of JSON for each finding.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.JOURNEY_MODULES}/`);
const mysql = require('mysql2/promise');
const tell = (name, value) => console.log(JSON.stringify([name, value]));
const employee = Number(process.env.MYSQL_EMPLOYEE);
const connection = await mysql.createConnection({
  host: 'localhost',
  port: Number(process.env.MYSQL_PORT),
  user: process.env.MYSQL_USER_NAME,
  password: process.env.MYSQL_PASSWORD,
  database: 'ledger',
  ssl: { ca: readFileSync(process.env.MYSQL_CA) },
  dateStrings: true,
});
const insert = 'INSERT INTO payslips (employee_id, period, gross, net, paid_on) VALUES (?, ?, ?, ?, ?)';
for (const way of ['query', 'execute']) {
  await connection.beginTransaction();
  const [made] = await connection[way](insert, [employee, '2031-01-01', 10.5, 9, '2031-01-31']);
  tell(`${way} insert`, [made.affectedRows, made.insertId > 0]);
  const [set] = await connection[way]('UPDATE payslips SET paid_on = ? WHERE id = ?', ['2031-02-01', made.insertId]);
  tell(`${way} update`, set.affectedRows);
  const [[row]] = await connection[way]('SELECT paid_on, net FROM payslips WHERE id = ?', [made.insertId]);
  tell(`${way} seen`, row);
  const [gone] = await connection[way]('DELETE FROM payslips WHERE id = ?', [made.insertId]);
  tell(`${way} delete`, gone.affectedRows);
  await connection.rollback();
  await connection[way](insert, [Number(process.env.MYSQL_OTHER), '2031-01-01', 1, 1, '2031-01-31']).then(
    () => tell('no error', way),
    (error) => tell(`${way} other`, [error.errno, error.message.slice(-30)]),
  );
}
await connection.end();
