// Java's PKIXRevocationChecker, with the responder's URL given, without CRLs and without SOFT_FAIL. The first argument is
// the provider: SUN is the JDK's own, BC is Bouncy Castle's. The others as in report.sh.

import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URI;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateRevokedException;
import java.security.cert.CRLReason;
import java.security.cert.Extension;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;

public class Pkix {
    static String provider;

    interface Case {
        void ask() throws Exception;
    }

    static X509Certificate read(String path) throws Exception {
        try (InputStream file = new FileInputStream(path)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(file);
        }
    }

    /** Validates the certificate, which asks the responder about it. */
    static void validate(String url, String ca, String name, byte[] nonce) throws Exception {
        CertPath path = CertificateFactory.getInstance("X.509", provider)
            .generateCertPath(List.of(read(ca + "/" + name + ".crt")));
        CertPathValidator validator = CertPathValidator.getInstance("PKIX", provider);
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        checker.setOptions(EnumSet.of(PKIXRevocationChecker.Option.NO_FALLBACK));
        checker.setOcspResponder(URI.create(url));
        if (nonce != null) {
            checker.setOcspExtensions(List.of(new Nonce(nonce)));
        }
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(read(ca + "/ca.crt"), null)));
        parameters.addCertPathChecker(checker);
        validator.validate(path, parameters);
        // Bouncy Castle has no list where nothing may fail softly.
        if (checker.getSoftFailExceptions() != null && !checker.getSoftFailExceptions().isEmpty()) {
            throw new Exception("failed softly: " + checker.getSoftFailExceptions());
        }
    }

    /** The reason for which a validation fails, and what is said of it. */
    static CertPathValidatorException failure(String url, String ca, String name) throws Exception {
        try {
            validate(url, ca, name, null);
        } catch (CertPathValidatorException failed) {
            return failed;
        }
        throw new Exception("it was valid");
    }

    /** All that is said of it. */
    static String words(Throwable failed) {
        StringBuilder words = new StringBuilder();
        for (; failed != null; failed = failed.getCause()) {
            words.append(failed).append("; ");
        }
        return words.toString();
    }

    static void expect(CertPathValidatorException failed, String... texts) throws Exception {
        for (String text : texts) {
            if (words(failed).toLowerCase().contains(text)) {
                return;
            }
        }
        throw new Exception("another failure was expected: " + words(failed), failed);
    }

    public static void main(String[] arguments) throws Exception {
        provider = arguments[0];
        if (provider.equals("BC")) {
            Security.addProvider((java.security.Provider) Class
                .forName("org.bouncycastle.jce.provider.BouncyCastleProvider").getConstructor().newInstance());
        }
        String normal = arguments[2], unknown = arguments[3], stranger = arguments[4];
        System.out.println("n-a\t*\tsha256\tit hashes by SHA-1 only");
        System.out.println("n-a\t*\tseveral\tit asks about one certificate");
        boolean gets = provider.equals("SUN");
        if (!gets) {
            System.out.println("n-a\t*\tget\tit asks by POST only");
        }
        for (int at = 5; at < arguments.length; at++) {
            String ca = arguments[at];
            say(ca, "good", () -> validate(normal, ca, "good", null));
            say(ca, "revoked", () -> {
                CertPathValidatorException failed = failure(normal, ca, "revoked");
                if (provider.equals("BC")) { // it has words for it, and no exception of its own
                    expect(failed, "certificate revoked, reason=(crlreason: keycompromise)");
                } else if (!(failed.getCause() instanceof CertificateRevokedException)
                    || ((CertificateRevokedException) failed.getCause()).getRevocationReason() != CRLReason.KEY_COMPROMISE) {
                    throw new Exception("another failure was expected", failed);
                }
            });
            say(ca, "unauthorized", () -> expect(failure(normal, ca, "unlisted"), "unauthorized", "response: status 6", "failed: 6"));
            say(ca, "unknown", () -> expect(failure(unknown, ca, "unlisted"), "status is unknown", "details not found", "unknown"));
            say(ca, "nonce", () -> {
                for (int length : new int[] {16, 32, 128}) {
                    byte[] nonce = new byte[length];
                    new SecureRandom().nextBytes(nonce);
                    validate(normal, ca, "good", nonce);
                }
            });
            if (gets) {
                say(ca, "get", () -> {
                    Relay relay = new Relay(normal);
                    try {
                        validate(relay.url(), ca, "good", null);
                        validate(relay.url(), ca, "good", new byte[128]);
                    } finally {
                        relay.stop();
                    }
                    // Above 255 octets it asks by POST.
                    if (!relay.methods.equals(List.of("GET", "POST"))) {
                        throw new Exception("it asked by " + relay.methods);
                    }
                });
            }
            say(ca, "stranger", () -> expect(failure(stranger, ca, "good"), "responder's certificate", "signature", "signing"));
        }
    }

    static void say(String ca, String which, Case one) {
        String result = "ok", text = "";
        try {
            one.ask();
        } catch (Exception error) {
            result = "FAILED";
            text = words(error).replaceAll("[\\t\\n]", " ");
        }
        System.out.println(result + "\t" + ca + "\t" + which + "\t" + text);
    }

    /** A nonce (RFC 9654 section 2.1), as an extension. */
    static class Nonce implements Extension {
        private final byte[] nonce;

        Nonce(byte[] octets) {
            nonce = der(4, octets);
        }

        static byte[] der(int tag, byte[]... contents) {
            ByteArrayOutputStream content = new ByteArrayOutputStream(), all = new ByteArrayOutputStream();
            for (byte[] octets : contents) {
                content.writeBytes(octets);
            }
            all.write(tag);
            if (content.size() > 127) {
                all.write(0x81);
            }
            all.write(content.size());
            all.writeBytes(content.toByteArray());
            return all.toByteArray();
        }

        public String getId() {
            return "1.3.6.1.5.5.7.48.1.2";
        }

        public boolean isCritical() {
            return false;
        }

        public byte[] getValue() {
            return nonce;
        }

        public void encode(OutputStream out) throws java.io.IOException {
            byte[] id = {0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2};
            out.write(der(0x30, der(6, id), der(4, nonce)));
        }
    }

    /** Passes requests on to a responder, and knows by which methods they came. */
    static class Relay {
        final List<String> methods = Collections.synchronizedList(new ArrayList<>());
        private final HttpServer server;

        Relay(String to) throws Exception {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            server.setExecutor(Executors.newSingleThreadExecutor(task -> {
                Thread thread = new Thread(task);
                thread.setDaemon(true);
                return thread;
            }));
            server.createContext("/", exchange -> {
                String method = exchange.getRequestMethod();
                methods.add(method);
                String path = exchange.getRequestURI().getRawPath().substring(1);
                HttpURLConnection connection =
                    (HttpURLConnection) URI.create(to + path).toURL().openConnection(Proxy.NO_PROXY);
                byte[] body = exchange.getRequestBody().readAllBytes();
                if (method.equals("POST")) {
                    connection.setDoOutput(true);
                    connection.setRequestProperty("Content-Type", exchange.getRequestHeaders().getFirst("Content-Type"));
                    connection.getOutputStream().write(body);
                }
                int status = connection.getResponseCode();
                byte[] answer = status < 400 ? connection.getInputStream().readAllBytes() : new byte[0];
                exchange.sendResponseHeaders(status, answer.length);
                exchange.getResponseBody().write(answer);
                exchange.close();
            });
            server.start();
        }

        String url() {
            return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
        }

        void stop() {
            server.stop(0);
        }
    }
}
