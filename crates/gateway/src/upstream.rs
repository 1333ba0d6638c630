//! TLS on the outer side, and the connections there that are used again.
//!
//! Owns whom we believe: a certificate that the person's own trust store does not vouch for ends it, whatever the inside would
//! have accepted. Owns that a connection carries one request at a time and comes back only when that one is wholly over. Does not
//! own dialling (`dial`), or whether a request may be made (`judge`).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use policy::{Endpoint, Host};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::body::Through;
use crate::bounds::Bounds;
use crate::ca::{H2, HTTP_1};
use crate::dial::Outside;
use crate::meter::Count;

/// Whose word is taken for the certificates of the outside.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Those of this machine, or of the file that the person's environment names (`SSL_CERT_FILE`).
    System,
    /// The same, and those of these lists of the person's, as PEM.
    SystemAnd(String),
    /// These certificates, as DER.
    These(Vec<Vec<u8>>),
}

/// Connections that wait for their next request, of all places together.
const WAITING: usize = 64;
/// And how long: less than servers usually wait.
const WAITS: Duration = Duration::from_secs(30);

/// TLS on the outer side of one run.
pub(crate) struct Upstream {
    roots: Roots,
    configs: OnceCell<Configs>,
    /// Each holds a descriptor, and one connection inside may ask for many.
    room: Arc<Semaphore>,
    waiting: Mutex<HashMap<Key, Vec<(Instant, Line)>>>,
}

/// What is offered outside is what is spoken inside, so that nothing is understood that was not meant.
struct Configs {
    http1: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
}

/// Where a connection leads, and whether HTTP/2 was offered there.
type Key = (Endpoint, bool);

impl Upstream {
    pub(crate) fn new(roots: Roots, bounds: &Bounds) -> Upstream {
        let room = Arc::new(Semaphore::new(bounds.connections));
        Upstream { roots, configs: OnceCell::new(), room, waiting: Mutex::default() }
    }

    /// A place for one more connection.
    pub(crate) fn seat(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Speaks TLS with the place that was dialled, whose certificate must be good for its name.
    pub(crate) async fn open(
        self: &Arc<Upstream>,
        outside: Outside,
        seat: OwnedSemaphorePermit,
        (to, offers, again): (&Endpoint, bool, bool),
        bounds: &Bounds,
    ) -> Result<Line, String> {
        let configs = self.configs.get_or_try_init(|| self.load()).await?;
        let config = Arc::clone(if offers { &configs.both } else { &configs.http1 });
        let count = outside.count();
        let shaken = TlsConnector::from(config).connect(server_name(&to.host)?, outside);
        let stream = match timeout(bounds.dial, shaken).await {
            Ok(shaken) => shaken.map_err(|error| distrust(to, &error))?,
            Err(_) => return Err(format!("{to} did not agree on TLS in time")),
        };
        let two = stream.get_ref().1.alpn_protocol() == Some(H2);
        let mut line = match two {
            true => Line::two(stream, count, bounds).await?,
            false => Line::one(stream, count, bounds).await?,
        };
        line.seat = Some(seat);
        line.home = again.then(|| (Arc::downgrade(self), (to.clone(), offers)));
        Ok(line)
    }

    /// A connection to this place that waits.
    pub(crate) fn waiting(&self, to: &Endpoint, offers: bool) -> Option<Line> {
        let mut all = self.lock();
        let lines = all.get_mut(&(to.clone(), offers))?;
        loop {
            let (since, line) = lines.pop()?;
            if since.elapsed() < WAITS && line.is_ready() {
                return Some(line);
            }
        }
    }

    fn put(&self, key: Key, line: Line) {
        let mut all = self.lock();
        all.retain(|_, lines| {
            lines.retain(|(since, line)| since.elapsed() < WAITS && !line.is_closed());
            !lines.is_empty()
        });
        if all.values().map(Vec::len).sum::<usize>() < WAITING {
            all.entry(key).or_default().push((Instant::now(), line));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<(Instant, Line)>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self) -> Result<Configs, String> {
        let roots = self.roots.clone();
        let loaded = tokio::task::spawn_blocking(move || roots.load()).await;
        let store = Arc::new(loaded.map_err(|_| "the trusted certificates could not be read".to_owned())??);
        let resumption = Resumption::in_memory_sessions(256);
        let config = |protocols: &[&[u8]]| {
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let builder = builder.with_protocol_versions(&[&version::TLS13, &version::TLS12]);
            let builder = builder.map_err(|error| error.to_string())?;
            let mut config = builder.with_root_certificates(Arc::clone(&store)).with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            config.resumption = resumption.clone();
            config.enable_early_data = false;
            Ok::<_, String>(Arc::new(config))
        };
        Ok(Configs { http1: config(&[HTTP_1])?, both: config(&[H2, HTTP_1])? })
    }
}

impl Roots {
    fn load(self) -> Result<RootCertStore, String> {
        let certificates = match self {
            Roots::System => rustls_native_certs::load_native_certs().certs,
            Roots::SystemAnd(lists) => {
                let own = CertificateDer::pem_slice_iter(lists.as_bytes()).filter_map(Result::ok);
                rustls_native_certs::load_native_certs().certs.into_iter().chain(own).collect()
            }
            Roots::These(these) => these.into_iter().map(CertificateDer::from).collect(),
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        match store.is_empty() {
            true => Err("this machine trusts no certificate, or none could be read".to_owned()),
            false => Ok(store),
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Ip(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => {
            ServerName::try_from(name.clone()).map_err(|_| format!("`{name}` is no name that TLS knows"))
        }
    }
}

/// Why TLS did not come about.
fn distrust(to: &Endpoint, error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("the certificate of {to} is not to be trusted: {why}")
        }
        Some(error) => format!("{to} and we did not agree on TLS: {error}"),
        None => format!("{to} broke off while TLS was agreed on: {error}"),
    }
}

/// A connection outside, on which one request at a time is made.
pub(crate) struct Line {
    sender: Sender,
    pub(crate) count: Arc<Count>,
    /// Where it waits for its next request.
    home: Option<(Weak<Upstream>, Key)>,
    seat: Option<OwnedSemaphorePermit>,
}

enum Sender {
    One(http1::SendRequest<Through>),
    Two(http2::SendRequest<Through>),
}

/// A request without an answer.
pub(crate) enum Unsent {
    /// Nothing of it left: the connection was over already.
    Back(Box<Request<Through>>),
    /// It may have left: the connection broke off before any answer.
    Gone(String),
    /// Why there is none.
    Failed(String),
}

impl Unsent {
    /// In words.
    pub(crate) fn because(self) -> String {
        match self {
            Unsent::Back(_) => "the connection broke off before anything was sent".to_owned(),
            Unsent::Gone(because) | Unsent::Failed(because) => because,
        }
    }
}

impl Line {
    /// For requests of HTTP/1, on a stream where nobody speaks yet.
    pub(crate) async fn one<S>(stream: S, count: Arc<Count>, bounds: &Bounds) -> Result<Line, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut client = http1::Builder::new();
        client.max_buf_size(bounds.head_bytes).max_headers(bounds.headers);
        let shaken = client.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| because(&error))?;
        // It ends when nobody holds the sender, an answer's body or an upgrade of it any more.
        tokio::spawn(connection.with_upgrades());
        Ok(Line { sender: Sender::One(sender), count, home: None, seat: None })
    }

    async fn two<S>(stream: S, count: Arc<Count>, bounds: &Bounds) -> Result<Line, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut client = http2::Builder::new(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX));
        let shaken = client.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| because(&error))?;
        tokio::spawn(connection);
        Ok(Line { sender: Sender::Two(sender), count, home: None, seat: None })
    }

    /// Whether requests on it are of HTTP/2.
    pub(crate) fn is_two(&self) -> bool {
        matches!(self.sender, Sender::Two(_))
    }

    fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_ready(),
            Sender::Two(sender) => sender.is_ready(),
        }
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        }
    }

    /// Makes a request, and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Through>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Unsent> {
        let answered = match &mut self.sender {
            Sender::One(sender) => timeout(patience, sender.try_send_request(request)).await,
            Sender::Two(sender) => timeout(patience, sender.try_send_request(request)).await,
        };
        let Ok(answered) = answered else {
            return Err(Unsent::Failed("it did not answer in time".to_owned()));
        };
        answered.map_err(|mut error| match error.take_message() {
            Some(request) => Unsent::Back(Box::new(request)),
            None if error.error().is_incomplete_message() => Unsent::Gone(because(error.error())),
            None => Unsent::Failed(because(error.error())),
        })
    }

    /// What was asked on it is over, wholly: it may be used again, where that was meant.
    pub(crate) fn over(self) {
        let home = self.home.as_ref().and_then(|(home, key)| Some((home.upgrade()?, key.clone())));
        if let Some((home, key)) = home {
            home.put(key, self);
        }
    }
}

/// An error and what caused it.
fn because(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
