//! TLS in front of a server that speaks none, with a certificate by somebody of its own.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A port of this machine that speaks TLS, and leads to another that does not.
#[derive(Debug)]
pub struct Front {
    /// The port.
    pub port: u16,
    /// By whose word it is 127.0.0.1, as PEM.
    pub ca: String,
}

impl Front {
    /// Leads to this port of the machine until the process ends.
    ///
    /// # Errors
    /// There is no port, no key or no thread left.
    pub fn of(behind: u16) -> io::Result<Front> {
        let (config, ca) = certified().map_err(io::Error::other)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("front".to_owned()).spawn(move || {
            // It ends when it can take no more, which its clients see.
            let _ = runtime.block_on(serve(listener, config, behind));
        })?;
        Ok(Front { port, ca })
    }
}

fn certified() -> Result<(Arc<ServerConfig>, String), Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &*ca)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_no_client_auth().with_single_cert(vec![own.der().clone()], private)?;
    Ok((Arc::new(config), ca.pem()))
}

async fn serve(listener: std::net::TcpListener, config: Arc<ServerConfig>, behind: u16) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(config);
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut inner = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).await?;
            let mut outer = acceptor.accept(stream).await?;
            copy_bidirectional(&mut outer, &mut inner).await.map(drop)
        });
    }
}
