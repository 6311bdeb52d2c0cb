import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.Properties;
import java.util.Timer;
import java.util.TimerTask;

/** What pgJDBC is asked to do; each finding is a line "name TAB value", rows are joined by "|", columns by ",". */
public class Journey {
    static final String SLOW =
        "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b";

    interface Step {
        String run() throws Exception;
    }

    static void say(String name, Step step) {
        String value;
        try {
            value = step.run();
        } catch (SQLException error) {
            value = "SQLSTATE " + error.getSQLState() + " " + error.getMessage();
        } catch (Exception error) {
            value = "FAULT " + error;
        }
        System.out.println(name + "\t" + value.replace("\n", "\\n"));
    }

    static String rows(ResultSet found) throws SQLException {
        StringBuilder text = new StringBuilder();
        int columns = found.getMetaData().getColumnCount();
        while (found.next()) {
            if (text.length() > 0) text.append('|');
            for (int i = 1; i <= columns; i++) text.append(i > 1 ? "," : "").append(found.getString(i));
        }
        return text.toString();
    }

    static String query(Connection connection, String text) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet found = statement.executeQuery(text)) {
            return rows(found);
        }
    }

    static Connection open(String url, Properties base, String... more) throws SQLException {
        Properties properties = (Properties) base.clone();
        for (int i = 0; i < more.length; i += 2) properties.setProperty(more[i], more[i + 1]);
        return DriverManager.getConnection(url, properties);
    }

    public static void main(String[] given) throws Exception {
        String url = System.getenv("JOURNEY_URL");
        Properties base = new Properties();
        base.setProperty("user", System.getenv("JOURNEY_USER"));
        base.setProperty("password", System.getenv("JOURNEY_PASSWORD"));
        base.setProperty("sslmode", "verify-full");
        base.setProperty("sslrootcert", System.getenv("JOURNEY_CA"));
        base.setProperty("ApplicationName", "journey");

        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            say("mode " + mode, () -> {
                try (Connection c = open(url, base, "preferQueryMode", mode)) {
                    return query(c, "select id, email, salary from employees order by id");
                }
            });
        }
        say("channel binding", () -> {
            try (Connection c = open(url, base, "channelBinding", "require")) {
                return query(c, "select 1");
            }
        });
        say("wrong pass", () -> {
            try (Connection c = open(url, base, "password", "gwp_wrong")) {
                return "let in";
            }
        });

        Connection c = open(url, base);
        say("prepared", () -> {
            StringBuilder text = new StringBuilder();
            try (PreparedStatement p = c.prepareStatement("select salary, birth_date from employees where id = ?")) {
                ((org.postgresql.PGStatement) p).setPrepareThreshold(3);
                int[] ids = ids(c, 8);
                for (int id : ids) {
                    p.setInt(1, id);
                    try (ResultSet found = p.executeQuery()) {
                        found.next();
                        BigDecimal salary = found.getBigDecimal(1);
                        Date birth = found.getDate(2);
                        text.append(text.length() > 0 ? "|" : "").append(id).append(',').append(salary).append(',').append(birth);
                    }
                }
            }
            return text.toString();
        });
        say("described", () -> {
            try (PreparedStatement p = c.prepareStatement("select * from employees where id = ?")) {
                ResultSetMetaData meta = p.getMetaData();
                StringBuilder text = new StringBuilder();
                for (int i = 1; i <= meta.getColumnCount(); i++)
                    text.append(i > 1 ? "," : "").append(meta.getColumnName(i)).append(' ').append(meta.getColumnTypeName(i));
                return text.toString();
            }
        });
        say("array parameter", () -> {
            try (PreparedStatement p = c.prepareStatement("select id from employees where id = any (?) order by id")) {
                int[] ids = ids(c, 3);
                Array array = c.createArrayOf("int4", new Integer[] {ids[0], ids[1], ids[2]});
                p.setArray(1, array);
                try (ResultSet found = p.executeQuery()) {
                    return rows(found);
                }
            }
        });
        say("fetch size", () -> {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(7);
                try (ResultSet found = s.executeQuery("select id from employees order by id")) {
                    return rows(found);
                }
            } finally {
                c.commit();
                c.setAutoCommit(true);
            }
        });
        say("large", () -> {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(1000);
                long sum = 0;
                try (ResultSet found = s.executeQuery("select n from generate_series(1, 20000) n")) {
                    while (found.next()) sum += found.getInt(1);
                }
                return String.valueOf(sum);
            } finally {
                c.rollback();
                c.setAutoCommit(true);
            }
        });
        say("max rows", () -> {
            try (Statement s = c.createStatement()) {
                s.setMaxRows(5);
                try (ResultSet found = s.executeQuery("select id from employees order by id")) {
                    return rows(found);
                }
            }
        });
        say("batch of selects", () -> {
            StringBuilder text = new StringBuilder();
            try (Statement s = c.createStatement()) {
                boolean more = s.execute("select 1; select count(*) from employees; select 'x'");
                while (more) {
                    text.append(text.length() > 0 ? "|" : "").append(rows(s.getResultSet()));
                    more = s.getMoreResults();
                }
            }
            return text.toString();
        });
        say("batch of writes", () -> {
            try (PreparedStatement p = c.prepareStatement("update employees set status = ? where id = ?")) {
                for (int i = 1; i < 4; i++) {
                    p.setString(1, "x");
                    p.setInt(2, i);
                    p.addBatch();
                }
                p.executeBatch();
                return "written";
            }
        });
        say("after the batch", () -> query(c, "select 1"));
        say("refused column", () -> query(c, "select notes from employees"));
        say("refused relation", () -> query(c, "select * from pg_authid"));
        say("refused in transaction", () -> {
            c.setAutoCommit(false);
            try {
                try {
                    query(c, "select * from pg_authid");
                    return "not refused";
                } catch (SQLException error) {
                    try {
                        query(c, "select 1");
                        return "not aborted";
                    } catch (SQLException aborted) {
                        c.rollback();
                        return error.getSQLState() + " " + aborted.getSQLState() + " " + query(c, "select 3");
                    }
                }
            } finally {
                c.rollback();
                c.setAutoCommit(true);
            }
        });
        say("isolation", () -> {
            c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            String shown = query(c, "show transaction_isolation");
            c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            return shown;
        });
        say("read only", () -> {
            c.setReadOnly(true);
            c.setAutoCommit(false);
            String shown = query(c, "show transaction_read_only");
            c.rollback();
            c.setAutoCommit(true);
            c.setReadOnly(false);
            return shown + " " + query(c, "select count(*) > 0 from employees");
        });
        say("notice", () -> {
            try (Statement s = c.createStatement(); ResultSet found = s.executeQuery("select id from employees where salary > 50000")) {
                SQLWarning warning = s.getWarnings();
                return warning == null ? "none" : warning.getSQLState() + " " + warning.getMessage();
            }
        });
        say("valid", () -> String.valueOf(c.isValid(5)));
        say("cancel", () -> {
            try (Statement s = c.createStatement()) {
                new Timer(true).schedule(new TimerTask() {
                    public void run() {
                        try {
                            s.cancel();
                        } catch (SQLException ignored) {
                            System.err.println(ignored);
                        }
                    }
                }, 500);
                long start = System.nanoTime();
                try {
                    s.executeQuery(SLOW);
                    return "ran";
                } catch (SQLException error) {
                    return error.getSQLState() + " " + ((System.nanoTime() - start) / 1_000_000_000L < 5) + " " + query(c, "select 'alive'");
                }
            }
        });
        say("query timeout", () -> {
            try (Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                s.executeQuery(SLOW);
                return "ran";
            } catch (SQLException error) {
                return error.getSQLState();
            }
        });

        DatabaseMetaData meta = c.getMetaData();
        say("product", () -> meta.getDatabaseProductName() + " " + meta.getDatabaseMajorVersion());
        say("tables", () -> names(meta.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME"));
        say("all tables", () -> names(meta.getTables(null, null, "employees", null), "TABLE_SCHEM"));
        say("columns", () -> names(meta.getColumns(null, "public", "employees", "%"), "COLUMN_NAME"));
        say("column types", () -> names(meta.getColumns(null, "public", "employees", "%"), "TYPE_NAME"));
        say("schemas", () -> names(meta.getSchemas(), "TABLE_SCHEM"));
        say("catalogs", () -> names(meta.getCatalogs(), "TABLE_CAT"));
        say("primary keys", () -> names(meta.getPrimaryKeys(null, "public", "employees"), "COLUMN_NAME"));
        say("imported keys", () -> names(meta.getImportedKeys(null, "public", "employees"), "FKCOLUMN_NAME"));
        say("exported keys", () -> names(meta.getExportedKeys(null, "public", "employees"), "FKTABLE_NAME"));
        say("indexes", () -> names(meta.getIndexInfo(null, "public", "employees", false, true), "INDEX_NAME"));
        say("types", () -> String.valueOf(names(meta.getTypeInfo(), "TYPE_NAME").contains("int4")));
        say("functions", () -> String.valueOf(names(meta.getFunctions(null, "pg_catalog", "lower"), "FUNCTION_NAME")));
        say("procedures", () -> String.valueOf(names(meta.getProcedures(null, "public", "%"), "PROCEDURE_NAME")));
        say("table types", () -> String.valueOf(names(meta.getTableTypes(), "TABLE_TYPE").contains("TABLE")));
        say("privileges", () -> String.valueOf(names(meta.getTablePrivileges(null, "public", "employees"), "PRIVILEGE")));
        say("column privileges", () -> String.valueOf(names(meta.getColumnPrivileges(null, "public", "employees", "%"), "COLUMN_NAME")));
        say("row identifier", () -> names(meta.getBestRowIdentifier(null, "public", "employees", DatabaseMetaData.bestRowSession, true), "COLUMN_NAME"));
        say("keywords", () -> String.valueOf(meta.getSQLKeywords().length() > 0));
        say("cross reference", () -> names(meta.getCrossReference(null, "public", "companies", null, "public", "employees"), "FKCOLUMN_NAME"));
        say("version columns", () -> String.valueOf(names(meta.getVersionColumns(null, "public", "employees"), "COLUMN_NAME")));
        say("function columns", () -> String.valueOf(names(meta.getFunctionColumns(null, "pg_catalog", "starts_with", "%"), "COLUMN_NAME").length() > 0));
        say("procedure columns", () -> names(meta.getProcedureColumns(null, "public", "%", "%"), "COLUMN_NAME"));
        say("user types", () -> names(meta.getUDTs(null, "public", "%", null), "TYPE_NAME"));
        say("client info", () -> names(meta.getClientInfoProperties(), "NAME"));
        say("unanswered questions", () -> {
            StringBuilder failed = new StringBuilder();
            for (var method : DatabaseMetaData.class.getMethods()) {
                if (method.getParameterCount() > 0 || method.getDeclaringClass() != DatabaseMetaData.class) continue;
                try {
                    if (method.invoke(meta) instanceof ResultSet found) found.close();
                } catch (java.lang.reflect.InvocationTargetException error) {
                    if (!(error.getCause() instanceof SQLFeatureNotSupportedException)) failed.append(method.getName()).append(' ');
                }
            }
            return failed.toString();
        });
        say("auto increment", () -> {
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select id, email from employees limit 1")) {
                ResultSetMetaData m = r.getMetaData();
                return m.isAutoIncrement(1) + " " + m.isNullable(1) + " " + m.getTableName(1) + " " + m.getColumnTypeName(2);
            }
        });
        say("user name", meta::getUserName);
        c.close();
    }

    static int[] ids(Connection c, int count) throws SQLException {
        int[] found = new int[count];
        String[] texts = query(c, "select id from employees order by id limit " + count).split("\\|");
        for (int i = 0; i < count; i++) found[i] = Integer.parseInt(texts[i]);
        return found;
    }

    static String names(ResultSet found, String column) throws SQLException {
        StringBuilder text = new StringBuilder();
        while (found.next()) text.append(text.length() > 0 ? "," : "").append(found.getString(column));
        found.close();
        return text.toString();
    }
}
