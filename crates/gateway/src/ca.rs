//! The run's own certificate authority: by its word, programs inside believe that the gateway is the host they asked for.
//!
//! Owns its key, which is made with the run, lives in this process's memory and nowhere else, and is worth nothing after a day;
//! and the certificates by which TLS is opened, one for each host that somebody asked for. Does not own which hosts those are
//! (`judge`), or how the authority's certificate reaches the programs inside.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use policy::Host;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, version};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use crate::flow::is_this_host;

/// How long the authority is good for, and with it everything it signs.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of that lies in the past, for programs whose clock is behind.
const BEHIND: Duration = Duration::from_secs(60);
/// Hosts whose certificate is kept; the one that was not asked for longest is made again when somebody asks.
const HOSTS: usize = 1024;
/// Sessions that may be taken up again, for each host.
const SESSIONS: usize = 32;
/// What is spoken within TLS.
pub(crate) const H2: &[u8] = b"h2";
/// The older version of it.
pub(crate) const HTTP_1: &[u8] = b"http/1.1";

/// The authority could not be made, or not be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A key or a certificate could not be made.
    #[error("could not make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// It is none that TLS could be spoken with.
    #[error("could not use the certificate")]
    Tls(#[from] rustls::Error),
    /// There are no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// A key that is gone when it is no longer needed, as far as the library that signs with it lets go of it.
struct Key(KeyPair);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for Key {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        SigningKey::sign(&self.0, msg)
    }
}

/// The certificate authority of one run.
pub struct Authority {
    issuer: Issuer<'static, Key>,
    certificate: CertificateDer<'static>,
    pem: String,
    /// From when to when it is good.
    life: (SystemTime, SystemTime),
    /// The key of every host's certificate: whoever had one had all.
    leaf: Key,
    signer: Arc<dyn rustls::sign::SigningKey>,
    hosts: Mutex<Hosts>,
}

/// Certificates in use, each with when it was last asked for.
#[derive(Default)]
struct Hosts {
    known: HashMap<Host, (u64, Arc<ServerConfig>)>,
    asked: u64,
}

impl Authority {
    /// A new one, for a run that begins now.
    ///
    /// # Errors
    /// There is no randomness, or a library does not do its part.
    pub fn new() -> Result<Authority, AuthorityError> {
        let key = Key(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
        let leaf = Key(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
        let begin = SystemTime::now() - BEHIND;
        let life = (begin, begin + LIFE);
        let mut params = within(CertificateParams::default(), life)?;
        let serial = random()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        params.distinguished_name.push(DnType::OrganizationName, "Provost");
        params.distinguished_name.push(DnType::CommonName, format!("Provost, one run ({serial})"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.0.serialized_der()));
        let signer = ring::sign::any_ecdsa_type(&private)?;
        Ok(Authority {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            life,
            leaf,
            signer,
            hosts: Mutex::default(),
        })
    }

    /// Its certificate, for whoever is to believe it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of its certificate.
    pub fn fingerprint(&self) -> String {
        Sha256::digest(&self.certificate).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How TLS is spoken as this host.
    pub(crate) fn as_host(&self, host: &Host) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.asked += 1;
        let now = hosts.asked;
        if let Some((asked, config)) = hosts.known.get_mut(host) {
            *asked = now;
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.config(host)?);
        if hosts.known.len() >= HOSTS
            && let Some(oldest) = hosts.known.iter().min_by_key(|(_, (asked, _))| *asked)
        {
            let oldest = oldest.0.clone();
            hosts.known.remove(&oldest);
        }
        hosts.known.insert(host.clone(), (now, Arc::clone(&config)));
        Ok(config)
    }

    fn config(&self, host: &Host) -> Result<ServerConfig, AuthorityError> {
        let chain = vec![self.certificate_of(host)?];
        let certified = CertifiedKey::new(chain, Arc::clone(&self.signer));
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1.to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        // What is sent before the handshake is done can be sent again by whoever saw it.
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// A certificate for this host alone, by each of its names.
    fn certificate_of(&self, host: &Host) -> Result<CertificateDer<'static>, AuthorityError> {
        let mut params = within(CertificateParams::default(), self.life)?;
        params.distinguished_name.push(DnType::CommonName, "Provost");
        params.subject_alt_names = names(host)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(&self.leaf, &self.issuer)?.der().clone())
    }
}

/// Good for this long, and told from every other by its number.
fn within(
    mut params: CertificateParams,
    (from, until): (SystemTime, SystemTime),
) -> Result<CertificateParams, AuthorityError> {
    params.not_before = from.into();
    params.not_after = until.into();
    params.serial_number = Some(SerialNumber::from_slice(&random()?));
    Ok(params)
}

fn random() -> Result<[u8; 16], AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| AuthorityError::NoRandom)?;
    // A serial number is positive.
    bytes[0] &= 0x7f;
    Ok(bytes)
}

/// The names of a host; this machine has three.
fn names(host: &Host) -> Result<Vec<SanType>, AuthorityError> {
    let named = |name: &str| Ok::<_, AuthorityError>(SanType::DnsName(name.try_into()?));
    if is_this_host(host) {
        let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let mut all = vec![named("localhost")?];
        all.extend(addresses.map(SanType::IpAddress));
        return Ok(all);
    }
    match host {
        Host::Name(name) => Ok(vec![named(name)?]),
        Host::Ip(address) => Ok(vec![SanType::IpAddress(*address)]),
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}
