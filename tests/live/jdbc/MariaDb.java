import java.io.ByteArrayInputStream;
import java.math.BigDecimal;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;

/** MariaDB Connector/J against whatever MYSQL_PORT is: the same lines from a server and through a relay. */
public class MariaDb {
    static final String[] OPTIONS = {
        "", "&useServerPrepStmts=true", "&useServerPrepStmts=true&useBulkStmts=true",
        "&useServerPrepStmts=true&useBatchMultiSend=true", "&allowMultiQueries=true",
    };

    static void show(String name, ResultSet found) throws SQLException {
        ResultSetMetaData columns = found.getMetaData();
        StringBuilder text = new StringBuilder(name);
        for (int i = 1; i <= columns.getColumnCount(); i++) {
            text.append("|").append(columns.getColumnLabel(i)).append(":").append(columns.getColumnTypeName(i));
            text.append(":").append(columns.getTableName(i));
        }
        int rows = 0;
        while (found.next()) {
            rows++;
            for (int i = 1; rows <= 4 && i <= columns.getColumnCount(); i++) {
                String cell = found.getString(i);
                text.append("|").append(cell == null ? "NULL" : cell.length() > 60 ? cell.length() + cell.substring(0, 60) : cell);
            }
        }
        System.out.println(text.append("|rows ").append(rows).toString().replace("\n", "\\n"));
    }

    public static void main(String[] arguments) throws Exception {
        for (String options : OPTIONS) {
            System.out.println("options " + options);
            String url = "jdbc:mariadb://localhost:" + System.getenv("MYSQL_PORT") + "/shop?useSSL=true&serverSslCert="
                + System.getenv("MYSQL_CA") + options;
            try (Connection connection =
                    DriverManager.getConnection(url, System.getenv("MYSQL_USER_NAME"), System.getenv("MYSQL_PASSWORD"))) {
                journey(connection);
            }
        }
    }

    static void journey(Connection connection) throws SQLException {
        try (Statement plain = connection.createStatement()) {
            show("text", plain.executeQuery("SELECT * FROM kinds ORDER BY id"));
            plain.setFetchSize(100);
            show("fetch size", plain.executeQuery("SELECT * FROM many ORDER BY id"));
            plain.executeQuery("SELECT nothing");
        } catch (SQLException error) {
            System.out.println("error|" + error.getErrorCode() + "|" + error.getSQLState());
        }
        try (PreparedStatement prepared = connection.prepareStatement("SELECT * FROM kinds WHERE id < ? ORDER BY id")) {
            prepared.setInt(1, 9);
            show("prepared", prepared.executeQuery());
            show("prepared again", prepared.executeQuery());
        }
        try (PreparedStatement prepared = connection.prepareStatement("SELECT ?, ?, ?, ?, ?, ?, ?")) {
            prepared.setString(1, "é");
            prepared.setLong(2, -7);
            prepared.setNull(3, Types.VARCHAR);
            prepared.setTimestamp(4, Timestamp.valueOf("2024-02-29 01:02:03.004"));
            prepared.setBigDecimal(5, new BigDecimal("1.25"));
            prepared.setBytes(6, new byte[] {'a', 'b'});
            prepared.setBinaryStream(7, new ByteArrayInputStream("s".repeat(300_000).getBytes()));
            show("parameters", prepared.executeQuery());
        }
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO notes (body) VALUES (?)")) {
            for (int i = 0; i < 50; i++) {
                insert.setString(1, "b" + i);
                insert.addBatch();
            }
            System.out.println("batch|" + insert.executeBatch().length);
        }
        connection.rollback();
        connection.setAutoCommit(true);
        try (PreparedStatement prepared = connection.prepareStatement("SELECT * FROM many WHERE id > ? ORDER BY id")) {
            prepared.setFetchSize(100);
            prepared.setInt(1, 5);
            show("prepared fetch size", prepared.executeQuery());
        }
        try (CallableStatement call = connection.prepareCall("{call two_results()}")) {
            for (boolean more = call.execute(); more; more = call.getMoreResults()) {
                show("called", call.getResultSet());
            }
        }
        show("columns", connection.getMetaData().getColumns(null, null, "notes", null));
        System.out.println("valid|" + connection.isValid(5) + "|" + connection.getCatalog());
    }
}
