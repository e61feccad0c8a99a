import java.io.IOException;
import java.net.URL;
import java.net.URLConnection;

/** Asks for each URL, as Java does by default. That it gets no answer is no failure. */
public class Fetch {
    public static void main(String[] urls) throws Exception {
        for (String url : urls) {
            URLConnection connection = new URL(url).openConnection();
            connection.setConnectTimeout(15_000);
            connection.setReadTimeout(15_000);
            try {
                connection.getInputStream().close();
            } catch (IOException expected) {
                // Neither end answers.
            }
        }
    }
}
