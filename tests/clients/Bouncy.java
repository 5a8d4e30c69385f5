// Bouncy Castle's org.bouncycastle.cert.ocsp: builds the requests, parses the answers, and verifies their signatures.
// Arguments as in report.sh.

import java.io.FileReader;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;
import java.net.URLEncoder;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Base64;
import java.util.Date;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.ocsp.OCSPObjectIdentifiers;
import org.bouncycastle.asn1.oiw.OIWObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.CRLReason;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.Extensions;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.ocsp.BasicOCSPResp;
import org.bouncycastle.cert.ocsp.CertificateID;
import org.bouncycastle.cert.ocsp.CertificateStatus;
import org.bouncycastle.cert.ocsp.OCSPReqBuilder;
import org.bouncycastle.cert.ocsp.OCSPResp;
import org.bouncycastle.cert.ocsp.RespID;
import org.bouncycastle.cert.ocsp.RevokedStatus;
import org.bouncycastle.cert.ocsp.SingleResp;
import org.bouncycastle.cert.ocsp.UnknownStatus;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.operator.ContentVerifierProvider;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

public class Bouncy {
    static final ASN1ObjectIdentifier SHA1 = OIWObjectIdentifiers.idSHA1, SHA256 = NISTObjectIdentifiers.id_sha256;
    static DigestCalculatorProvider digests;

    interface Case {
        void ask() throws Exception;
    }

    static X509CertificateHolder read(String path) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(path))) {
            return (X509CertificateHolder) parser.readObject();
        }
    }

    static ContentVerifierProvider verifier(X509CertificateHolder certificate) throws Exception {
        return new JcaContentVerifierProviderBuilder().build(certificate);
    }

    static void check(boolean holds, String what) throws Exception {
        if (!holds) {
            throw new Exception(what);
        }
    }

    static OCSPResp send(String url, boolean get, byte[] request) throws Exception {
        String target = get ? url + URLEncoder.encode(Base64.getEncoder().encodeToString(request), "US-ASCII") : url;
        HttpURLConnection connection = (HttpURLConnection) URI.create(target).toURL().openConnection(Proxy.NO_PROXY);
        connection.setReadTimeout(20000);
        if (!get) {
            connection.setDoOutput(true);
            connection.setRequestProperty("Content-Type", "application/ocsp-request");
            connection.getOutputStream().write(request);
        }
        check(connection.getResponseCode() == 200, "HTTP " + connection.getResponseCode());
        check("application/ocsp-response".equals(connection.getContentType()), connection.getContentType());
        return new OCSPResp(connection.getInputStream().readAllBytes());
    }

    /** Asks about these certificates; the statuses, after all else was verified. */
    static CertificateStatus[] ask(String url, boolean get, String ca, ASN1ObjectIdentifier hash, byte[] nonce, String... names)
        throws Exception {
        X509CertificateHolder issuer = read(ca + "/ca.crt");
        OCSPReqBuilder builder = new OCSPReqBuilder();
        CertificateID[] ids = new CertificateID[names.length];
        for (int at = 0; at < names.length; at++) {
            AlgorithmIdentifier algorithm = new AlgorithmIdentifier(hash, DERNull.INSTANCE);
            ids[at] = new CertificateID(digests.get(algorithm), issuer, read(ca + "/" + names[at] + ".crt").getSerialNumber());
            builder.addRequest(ids[at]);
        }
        if (nonce != null) {
            builder.setRequestExtensions(new Extensions(
                new Extension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce, false, new DEROctetString(nonce).getEncoded())));
        }
        OCSPResp response = send(url, get, builder.build().getEncoded());
        check(response.getStatus() == OCSPResp.SUCCESSFUL, "error " + response.getStatus());
        BasicOCSPResp basic = (BasicOCSPResp) response.getResponseObject();
        X509CertificateHolder signer = issuer;
        if (basic.getCerts().length > 0) {
            signer = basic.getCerts()[0];
            check(signer.isSignatureValid(verifier(issuer)), "the issuer did not delegate");
            ExtendedKeyUsage usage = ExtendedKeyUsage.fromExtensions(signer.getExtensions());
            check(usage != null && usage.hasKeyPurposeId(KeyPurposeId.id_kp_OCSPSigning), "no delegate for OCSP");
        }
        check(basic.isSignatureValid(verifier(signer)), "the signature is wrong");
        RespID named = new RespID(signer.getSubjectPublicKeyInfo(), digests.get(RespID.HASH_SHA1));
        check(basic.getResponderId().equals(named), "another responder is named");
        Extension found = basic.getExtension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce);
        check(nonce == null ? found == null : Arrays.equals(found.getExtnValue().getOctets(),
            new DEROctetString(nonce).getEncoded()), "another nonce");
        SingleResp[] singles = basic.getResponses();
        check(singles.length == ids.length, singles.length + " answers");
        CertificateStatus[] statuses = new CertificateStatus[ids.length];
        Date now = new Date();
        for (int at = 0; at < ids.length; at++) {
            check(singles[at].getCertID().equals(ids[at]), "another certificate");
            check(!now.before(singles[at].getThisUpdate()) && now.before(singles[at].getNextUpdate()), "another time");
            statuses[at] = singles[at].getCertStatus();
        }
        return statuses;
    }

    static void good(CertificateStatus status) throws Exception {
        check(status == CertificateStatus.GOOD, "good was expected, and not " + status);
    }

    static void revoked(CertificateStatus status) throws Exception {
        check(status instanceof RevokedStatus, "revoked was expected, and not " + status);
        RevokedStatus revoked = (RevokedStatus) status;
        check(revoked.hasRevocationReason() && revoked.getRevocationReason() == CRLReason.keyCompromise, "another reason");
    }

    static void unknown(CertificateStatus status) throws Exception {
        check(status instanceof UnknownStatus, "unknown was expected, and not " + status);
    }

    /** That asking fails, with these words. */
    static void fails(Case one, String... texts) throws Exception {
        try {
            one.ask();
        } catch (Exception failed) {
            for (String text : texts) {
                if (failed.toString().contains(text)) {
                    return;
                }
            }
            throw failed;
        }
        throw new Exception("it was answered");
    }

    public static void main(String[] arguments) throws Exception {
        digests = new JcaDigestCalculatorProviderBuilder().build();
        String normal = arguments[1], other = arguments[2], stranger = arguments[3];
        for (int at = 4; at < arguments.length; at++) {
            String ca = arguments[at];
            say(ca, "good", () -> good(ask(normal, false, ca, SHA1, null, "good")[0]));
            say(ca, "revoked", () -> revoked(ask(normal, false, ca, SHA1, null, "revoked")[0]));
            say(ca, "unauthorized", () -> fails(() -> ask(normal, false, ca, SHA1, null, "unlisted"), "error 6"));
            say(ca, "unknown", () -> unknown(ask(other, false, ca, SHA1, null, "unlisted")[0]));
            say(ca, "nonce", () -> {
                for (int length : new int[] {1, 16, 32, 128}) {
                    byte[] nonce = new byte[length];
                    new SecureRandom().nextBytes(nonce);
                    good(ask(normal, false, ca, SHA1, nonce, "good")[0]);
                }
            });
            say(ca, "get", () -> {
                good(ask(normal, true, ca, SHA1, null, "good")[0]);
                revoked(ask(normal, true, ca, SHA256, null, "revoked")[0]);
            });
            say(ca, "sha256", () -> {
                good(ask(normal, false, ca, SHA256, null, "good")[0]);
                revoked(ask(normal, false, ca, SHA256, null, "revoked")[0]);
            });
            say(ca, "several", () -> {
                CertificateStatus[] found = ask(normal, false, ca, SHA256, new byte[32], "revoked", "unlisted", "good");
                revoked(found[0]);
                unknown(found[1]);
                good(found[2]);
            });
            say(ca, "stranger",
                () -> fails(() -> ask(stranger, false, ca, SHA1, null, "good"), "did not delegate"));
        }
    }

    static void say(String ca, String which, Case one) {
        String result = "ok", text = "";
        try {
            one.ask();
        } catch (Exception error) {
            result = "FAILED";
            text = error.toString().replaceAll("[\\t\\n]", " ");
        }
        System.out.println(result + "\t" + ca + "\t" + which + "\t" + text);
    }
}
