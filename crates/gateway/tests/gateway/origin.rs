//! Servers of the outside that speak TLS, with certificates that the test makes itself.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::common::{Client, PATIENCE, Setting, Stage, allow, listener};

/// Somebody whom the gateway believes, or not.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// How a server speaks as this host; `change` may spoil the certificate.
    pub(crate) fn server(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let (chain, private) = self.certificate(host, change);
        builder.with_single_cert(chain, private).unwrap()
    }

    /// The same, for a server that asks who comes.
    pub(crate) fn server_asking(&self, host: &str, verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let (chain, private) = self.certificate(host, |_| {});
        builder.with_client_cert_verifier(verifier).with_single_cert(chain, private).unwrap()
    }

    fn certificate(
        &self,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &*self.0).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (vec![certificate.der().clone()], private)
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A connection in TLS, at the server.
pub(crate) type Served = Client<StreamOwned<ServerConnection, TcpStream>>;
/// And at a program inside.
pub(crate) type Opened = Client<StreamOwned<ClientConnection, TcpStream>>;

/// A server that speaks HTTP/1 in TLS.
pub(crate) struct Origin {
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) fn start(
        config: ServerConfig,
        answer: impl Fn(&mut Served, &str) + Send + Sync + 'static,
    ) -> Origin {
        let listener = listener();
        let port = listener.local_addr().unwrap().port();
        let (heads, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (seen, counted, answer, config) =
            (Arc::clone(&heads), Arc::clone(&connections), Arc::new(answer), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                let (seen, answer, config) = (Arc::clone(&seen), Arc::clone(&answer), Arc::clone(&config));
                thread::spawn(move || {
                    let tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    let mut client = Client(BufReader::new(tls));
                    while let Some(head) = client.whole_head() {
                        seen.lock().unwrap().push(head.clone());
                        answer(&mut client, &head);
                    }
                });
            }
        });
        Origin { port, heads, connections }
    }

    /// Answers every request with what it was asked.
    pub(crate) fn echo(config: ServerConfig) -> Origin {
        Origin::start(config, |client, head| {
            let body = client.body(&crate::common::headers_of(head), false);
            let text = format!("{head}\n\n{}", String::from_utf8_lossy(&body));
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()));
        })
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A gateway that looks at requests to it as `api.example`: whatever is beneath `/public/` may be read.
    pub(crate) fn setting(&self, ca: &Ca) -> Setting {
        seen(self.port, ca)
    }
}

/// A gateway that looks at requests to this port as `api.example`: whatever is beneath `/public/` may be asked.
pub(crate) fn seen(port: u16, ca: &Ca) -> Setting {
    let rule = format!(
        "[[rule]]\nid = \"api\"\nhttp = [\"https://api.example:{port}/public/**\"]\nmethods = [\"GET\", \"POST\", \"HEAD\"]\nneed = \"none\"\n"
    );
    let rules = rule + &allow(&format!("127.0.0.1:{port}"));
    Setting::new(rules).name("api.example", &["127.0.0.1"]).trusts(ca.der())
}

impl<S: io::Read + io::Write> Client<S> {
    /// The head of a request; none at the end.
    fn whole_head(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            match io::BufRead::read_line(&mut self.0, &mut line) {
                Ok(0) | Err(_) => return None,
                Ok(_) if line.trim_end().is_empty() => break,
                Ok(_) => {}
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line.trim_end());
        }
        Some(text)
    }
}

/// How a program inside speaks TLS that believes this certificate.
pub(crate) fn believes(pem: &str, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

impl Stage {
    /// A connection through CONNECT, with nothing said on it yet.
    pub(crate) fn tunnel(&self, to: &str) -> TcpStream {
        let mut client = self.connect();
        client.send(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n"));
        client.connected().unwrap();
        assert!(client.0.buffer().is_empty());
        client.0.into_inner()
    }

    /// The same, in TLS as a program speaks it that believes the run's own certificates.
    pub(crate) fn opened(&self, to: &str) -> Opened {
        self.named(to, to.rsplit_once(':').unwrap().0).unwrap()
    }

    /// The same, with bytes of its own for the beginning: what came back.
    pub(crate) fn begun(&self, to: &str, pieces: &[&[u8]]) -> Vec<u8> {
        let mut stream = self.tunnel(to);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for piece in pieces {
            if stream.write_all(piece).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let mut all = Vec::new();
        // A reset ends it as well as an end.
        let _ = stream.read_to_end(&mut all);
        all
    }

    /// The same, naming another host.
    pub(crate) fn named(&self, to: &str, name: &str) -> io::Result<Opened> {
        in_tls(self.tunnel(to), believes(&self.authority, &["http/1.1"]), name)
    }
}

/// TLS on a connection, as a program inside speaks it.
pub(crate) fn in_tls(mut stream: TcpStream, config: ClientConfig, name: &str) -> io::Result<Opened> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(Client(BufReader::new(StreamOwned::new(tls, stream))))
}

/// A ClientHello as rustls makes it for this name, with this change to its extensions (each a number and a body).
pub(crate) fn hello(name: &str, change: impl FnOnce(&mut Vec<(u16, Vec<u8>)>)) -> Vec<u8> {
    let config = believes_nobody();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut record = Vec::new();
    client.write_tls(&mut record).unwrap();
    // Record head, message head, version, random; then three lists before the extensions.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(record[at]);
    at += 2 + usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    at += 1 + usize::from(record[at]);
    let mut rest = &record[at + 2..];
    let mut extensions = Vec::new();
    while let [a, b, c, d, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        extensions.push((u16::from_be_bytes([*a, *b]), more[..length].to_vec()));
        rest = &more[length..];
    }
    change(&mut extensions);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let coded: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &length(body), body].concat())
        .collect();
    let body = [&record[9..at], &length(&coded), &coded].concat();
    let message = [&[1, 0][..], &length(&body), &body].concat();
    [&[0x16, 3, 1][..], &length(&message), &message].concat()
}

/// What an extension with these names of hosts says.
pub(crate) fn names(hosts: &[&str]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let list: Vec<u8> = hosts
        .iter()
        .flat_map(|host| [&[0][..], &length(host.as_bytes()), host.as_bytes()].concat())
        .collect();
    [&length(&list)[..], &list].concat()
}

fn believes_nobody() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// A certificate as text.
pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
