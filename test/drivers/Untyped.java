// Calls by the JDBC driver, which sends strings without a type if it is told to.
//
//   java -cp postgresql.jar Untyped.java port user file      lines as t/073_drivers.pl expects them

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.StringJoiner;

public class Untyped
{
	public static void main(String[] args) throws Exception
	{
		String file = args[2];
		String[][] calls = {
			{"read", "SELECT iopool_read(?, ?, ?)", file, "8", "8"},
			{"tail", "SELECT iopool_read(?, ?, ?)", file, "-8", "8"},
			{"missing", "SELECT iopool_read(?, ?, ?, ?)", file + ".gone", "0", "8", "true"},
			{"whole", "SELECT substr(iopool_read(?), 9, 8)", file},
			{"whole, missing", "SELECT iopool_read(?, ?)", file + ".gone", "true"},
			{"batch", "SELECT data FROM iopool_read_batch(?, ?, ?)", file, "{0,8}", "{8}"},
			{"batch, all arguments", "SELECT data FROM iopool_read_batch(?, ?, ?, ?, ?)", file, "{16,24}", "{8,4}", "report", "true"},
			{"batch of files", "SELECT data FROM iopool_read_batch(?::text[], ?, ?, ?)", "{" + file + "," + file + "}", "{0,8}", "{8}", "raise"},
			{"array", "SELECT unnest(iopool_read_array(?, ?, ?, ?))", file, "{0,NULL}", "{8}", "report"},
			{"prefetch", "SELECT int4send(iopool_prefetch(?, ?, ?)::int)", file, "{0,8}", "{8,8}"},
			{"request", "SELECT data FROM iopool_fetch(iopool_submit(?, ?, ?), ?)", file, "{0,8}", "{8}", "raise"}};
		String url = "jdbc:postgresql://localhost:" + args[0] + "/postgres?stringtype=unspecified&user=" + args[1];

		try (Connection connection = DriverManager.getConnection(url))
		{
			for (String[] call : calls)
			{
				PreparedStatement statement = connection.prepareStatement(call[1]);
				StringJoiner values = new StringJoiner(" ");

				for (int i = 2; i < call.length; i++)
					statement.setString(i - 1, call[i]);
				ResultSet rows = statement.executeQuery();
				while (rows.next())
				{
					byte[] bytes = rows.getBytes(1);
					StringBuilder hex = new StringBuilder(bytes == null ? "null" : "");

					for (int i = 0; bytes != null && i < bytes.length; i++)
						hex.append(String.format("%02x", bytes[i]));
					values.add(hex);
				}
				System.out.println(call[0] + ": " + values);
			}
		}
	}
}
