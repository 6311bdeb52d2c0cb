import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** MariaDB Connector/J against the gateway, as a database browser and as an application have it. */
public class Ledger {
    static final String[] OPTIONS = {"", "&useServerPrepStmts=true", "&allowMultiQueries=true"};

    static void show(String name, ResultSet found, int columns) throws SQLException {
        int rows = 0;
        StringBuilder text = new StringBuilder(name);
        while (found.next()) {
            rows++;
            for (int i = 1; rows <= 4 && i <= columns; i++) {
                text.append("|").append(found.getString(i));
            }
        }
        System.out.println(text.append("|rows ").append(rows));
    }

    static void listed(String name, ResultSet found, String column) throws SQLException {
        StringBuilder text = new StringBuilder(name);
        while (found.next()) {
            text.append("|").append(found.getString(column));
        }
        System.out.println(text);
    }

    public static void main(String[] arguments) throws Exception {
        for (String options : OPTIONS) {
            System.out.println("options " + options);
            String url = "jdbc:mariadb://localhost:" + System.getenv("MYSQL_PORT") + "/ledger?useSSL=true&serverSslCert="
                + System.getenv("MYSQL_CA") + options;
            try (Connection connection =
                    DriverManager.getConnection(url, System.getenv("MYSQL_USER_NAME"), System.getenv("MYSQL_PASSWORD"))) {
                journey(connection);
            }
        }
    }

    static void journey(Connection connection) throws SQLException {
        DatabaseMetaData about = connection.getMetaData();
        listed("schemas", about.getCatalogs(), "TABLE_CAT");
        listed("tables", about.getTables("payroll", null, "%", new String[] {"TABLE"}), "TABLE_NAME");
        listed("columns", about.getColumns("payroll", null, "employees", "%"), "COLUMN_NAME");
        try (Statement plain = connection.createStatement()) {
            show("text", plain.executeQuery("SELECT id, email, salary FROM employees ORDER BY id"), 3);
            plain.setFetchSize(10);
            show("fetched", plain.executeQuery("SELECT id FROM employees ORDER BY id"), 1);
        }
        connection.setAutoCommit(false);
        try (PreparedStatement asked = connection.prepareStatement("SELECT count(*) FROM employees WHERE company_id = ?")) {
            int customer = Integer.parseInt(System.getenv("MYSQL_CUSTOMER"));
            for (int company : new int[] {customer, customer + 1}) {
                asked.setInt(1, company);
                show("count", asked.executeQuery(), 1);
            }
        }
        connection.rollback();
        connection.setAutoCommit(true);
        for (String wrong : new String[] {"SELECT notes FROM employees", "DELETE FROM employees", "SELECT * FROM mysql.user"}) {
            try (PreparedStatement refused = connection.prepareStatement(wrong)) {
                refused.execute();
                System.out.println("no error|" + wrong);
            } catch (SQLException error) {
                System.out.println("error|" + error.getErrorCode() + "|" + error.getSQLState() + "|" + error.getMessage());
            }
        }
        System.out.println("valid|" + connection.isValid(5));
    }
}
