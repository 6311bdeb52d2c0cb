import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** MariaDB Connector/J against the gateway, as an application that corrects data has it. */
public class Writes {
    static final String[] OPTIONS = {"", "&useServerPrepStmts=true", "&useServerPrepStmts=true&useAffectedRows=true"};
    static final String INSERT = "INSERT INTO payslips (employee_id, period, gross, net, paid_on) VALUES (?, ?, ?, ?, ?)";

    public static void main(String[] arguments) throws Exception {
        for (String options : OPTIONS) {
            System.out.println("options " + options);
            String url = "jdbc:mariadb://localhost:" + System.getenv("MYSQL_PORT") + "/ledger?useSSL=true&serverSslCert="
                + System.getenv("MYSQL_CA") + options;
            try (Connection connection =
                    DriverManager.getConnection(url, System.getenv("MYSQL_USER_NAME"), System.getenv("MYSQL_PASSWORD"))) {
                connection.setAutoCommit(false);
                journey(connection);
                connection.rollback();
            }
        }
    }

    static void journey(Connection connection) throws SQLException {
        long number = 0;
        try (PreparedStatement insert = connection.prepareStatement(INSERT, Statement.RETURN_GENERATED_KEYS)) {
            bind(insert, Integer.parseInt(System.getenv("MYSQL_EMPLOYEE")));
            System.out.println("insert|" + insert.executeUpdate());
            try (ResultSet keys = insert.getGeneratedKeys()) {
                keys.next();
                number = keys.getLong(1);
            }
            System.out.println("key|" + (number > 0));
            bind(insert, Integer.parseInt(System.getenv("MYSQL_OTHER")));
            insert.executeUpdate();
        } catch (SQLException error) {
            System.out.println("other|" + error.getErrorCode() + "|" + error.getMessage().contains("[row-out-of-scope]"));
        }
        try (PreparedStatement update = connection.prepareStatement("UPDATE payslips SET paid_on = ? WHERE id = ?")) {
            for (int run = 0; run < 2; run++) {
                update.setDate(1, Date.valueOf("2031-02-01"));
                update.setLong(2, number);
                System.out.println("update|" + update.executeUpdate());
            }
        }
        try (PreparedStatement delete = connection.prepareStatement("DELETE FROM payslips WHERE id = ?")) {
            delete.setLong(1, number);
            System.out.println("delete|" + delete.executeUpdate());
        }
    }

    static void bind(PreparedStatement insert, int employee) throws SQLException {
        insert.setInt(1, employee);
        insert.setDate(2, Date.valueOf("2031-01-01"));
        insert.setBigDecimal(3, new BigDecimal("10.50"));
        insert.setInt(4, 9);
        insert.setString(5, "2031-01-31");
    }
}
