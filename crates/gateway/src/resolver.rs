//! Names, as programs inside ask for them.
//!
//! Owns the answers: an address that stands for the name (`stand_in`), or that there is none. Nothing is looked up here and
//! nothing leaves; the name is judged when it is connected to. What policy lets nobody connect to, on any port, does not exist.
//! Reading and writing the messages is left to a library, over whose faults a bad message never gets.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use admission::Admission;
use ledger::Trust;
use ledger::event::{self, Denied, OsText};
use policy::{Host, Reason};
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::carriage::{Carriage, Teller};
use crate::refusal::Refusal;
use crate::target::INSIDE_HOST;

/// Bytes of a question; none needs more.
const LONGEST: usize = 1232;
/// How long an answer is good for: it is the same for the whole run.
const TTL: u32 = 300;
/// Streams of questions at once, and how long one may be silent.
const STREAMS: usize = 32;
const SILENCE: Duration = Duration::from_secs(10);
/// Names whose denial is recorded; a flood of others is refused all the same.
const RECORDED: usize = 4096;

/// See the module.
pub(crate) struct Resolver {
    pub(crate) admission: Admission,
    pub(crate) carriage: Arc<Carriage>,
    pub(crate) teller: Arc<Teller>,
    /// The name of the inside itself.
    pub(crate) host_name: String,
    recorded: Mutex<HashSet<String>>,
}

/// A name that nobody may connect to, and why.
type DeniedName = (String, Vec<Reason>);

/// What becomes of a name.
enum Found {
    /// These addresses, for whoever asks for their kind.
    At(Option<Ipv4Addr>, Option<Ipv6Addr>),
    /// It does not exist, because policy lets nobody go there: for these reasons.
    Denied(String, Vec<Reason>),
    /// It does not exist.
    Nowhere,
    /// There are no addresses left.
    Full,
}

impl Resolver {
    pub(crate) fn new(
        admission: Admission,
        carriage: Arc<Carriage>,
        teller: Arc<Teller>,
        host_name: String,
    ) -> Resolver {
        Resolver { admission, carriage, teller, host_name, recorded: Mutex::default() }
    }

    /// The answer to a message; none to what is no question at all.
    async fn answer(&self, message: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        // A fault of the reader is no answer, and nobody else's matter.
        let read = catch_unwind(AssertUnwindSafe(|| self.read(message)));
        let (answer, denied) = read.ok()??;
        if let Some((name, reasons)) = denied {
            let refusal = self.refused(&name, reasons);
            if let Some(asker) = self.carriage.asking(from) {
                self.teller.tell(asker, &refusal).await;
            }
        }
        Some(answer)
    }

    fn read(&self, message: &[u8]) -> Option<(Vec<u8>, Option<DeniedName>)> {
        let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
        // An answer is answered by nobody.
        if word(2)? & 0x8000 != 0 {
            return None;
        }
        let mut answer = Packet::new_reply(word(0)?);
        // Before anything is made of them: how many parts the message says that it has.
        let parts = (word(4)?, word(6)?, word(8)?) == (1, 0, 0) && word(10)? <= 1;
        let Some(question) = parts.then(|| Packet::parse(message).ok()).flatten() else {
            *answer.rcode_mut() = RCODE::FormatError;
            return Some((answer.build_bytes_vec().ok()?, None));
        };
        let kept = question.has_flags(PacketFlag::RECURSION_DESIRED);
        answer.set_flags(PacketFlag::RECURSION_AVAILABLE);
        if kept {
            answer.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        let asked = question.questions.first()?;
        answer.questions.push(asked.clone());
        let mut denied = None;
        *answer.rcode_mut() = if question.opcode() != OPCODE::StandardQuery {
            RCODE::NotImplemented
        } else if asked.qclass != QCLASS::CLASS(CLASS::IN) {
            RCODE::Refused
        } else {
            match self.find(asked) {
                Found::At(four, six) => {
                    answer.answers.extend(record(asked, four, six));
                    RCODE::NoError
                }
                Found::Denied(name, reasons) => {
                    denied = Some((name, reasons));
                    RCODE::NameError
                }
                Found::Nowhere => RCODE::NameError,
                Found::Full => RCODE::Refused,
            }
        };
        Some((answer.build_bytes_vec().ok()?, denied))
    }

    fn find(&self, asked: &Question<'_>) -> Found {
        let Some(Ok(Host::Name(name))) = spelled(asked).map(|text| Host::parse(&text)) else {
            return Found::Nowhere;
        };
        if name == "localhost" || name.ends_with(".localhost") {
            return Found::At(Some(Ipv4Addr::LOCALHOST), Some(Ipv6Addr::LOCALHOST));
        }
        if name == self.host_name {
            return Found::At(Some(Ipv4Addr::LOCALHOST), None);
        }
        // Provost itself is asked through the proxy; and no address has a name.
        let beneath =
            |whole: &str| name.strip_suffix(whole).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if beneath(INSIDE_HOST) || beneath("arpa") {
            return Found::Nowhere;
        }
        if let Some(reasons) = self.admission.never_connects(&Host::Name(name.clone())) {
            return Found::Denied(name, reasons);
        }
        match self.carriage.stand_ins().address(&name) {
            Some(address) => Found::At(Some(address), None),
            None => Found::Full,
        }
    }

    /// Records that a name was asked for to which nobody may connect, once.
    fn refused(&self, name: &str, reasons: Vec<Reason>) -> Refusal {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.len() < RECORDED && recorded.insert(name.to_owned()) {
            let reasons = reasons.iter().map(event::Reason::from).collect();
            let target = OsText::from(name.to_owned());
            let denied =
                Denied { pid: None, what: "connect".into(), target, reasons, errno: None, spoken: false };
            // It is refused all the same; a ledger that takes nothing more is noticed by the gateway's watch.
            let _ = self.admission.note(denied.into(), Trust::Observed, None);
        }
        Refusal::of_name(name, reasons)
    }
}

/// The name that is asked for, as text; none if a label holds what no host's can.
fn spelled(asked: &Question<'_>) -> Option<String> {
    let mut text = String::new();
    for label in asked.qname.as_bytes() {
        let plain = label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        let label = std::str::from_utf8(label).ok().filter(|_| plain)?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    Some(text)
}

fn record<'a>(
    asked: &Question<'a>,
    four: Option<Ipv4Addr>,
    six: Option<Ipv6Addr>,
) -> Option<ResourceRecord<'a>> {
    let data = match asked.qtype {
        QTYPE::TYPE(TYPE::A) => RData::A(A { address: four?.into() }),
        QTYPE::TYPE(TYPE::AAAA) => RData::AAAA(AAAA { address: six?.into() }),
        _ => return None,
    };
    Some(ResourceRecord::new(asked.qname.clone(), CLASS::IN, TTL, data))
}

/// Answers datagrams until it is told to end.
pub(crate) async fn datagrams(
    resolver: Arc<Resolver>,
    socket: UdpSocket,
    mut told: watch::Receiver<Duration>,
) {
    let mut message = [0; LONGEST];
    let socket = Arc::new(socket);
    let mut open = JoinSet::new();
    loop {
        let (length, from) = tokio::select! {
            biased;
            _ = told.changed() => break,
            Some(_) = open.join_next() => continue,
            received = socket.recv_from(&mut message) => match received {
                Ok(received) => received,
                // About one that was answered before and is gone.
                Err(_) => continue,
            },
        };
        let message = message.get(..length).unwrap_or_default().to_vec();
        let (resolver, socket) = (Arc::clone(&resolver), Arc::clone(&socket));
        if open.len() >= STREAMS * 4 {
            // Whoever gets no answer asks again.
            continue;
        }
        open.spawn(async move {
            if let Some(answer) = resolver.answer(&message, from).await {
                // Whoever asked may be gone.
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

/// Answers questions on streams until it is told to end.
pub(crate) async fn streams(
    resolver: Arc<Resolver>,
    listener: TcpListener,
    mut told: watch::Receiver<Duration>,
) {
    let room = Arc::new(Semaphore::new(STREAMS));
    let mut open = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            _ = told.changed() => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => (stream, from),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(seat) = Arc::clone(&room).try_acquire_owned() else { continue };
        let resolver = Arc::clone(&resolver);
        open.spawn(async move {
            let _seat = seat;
            let (stream, from) = stream;
            // However it ends, nobody else is concerned.
            let _ = converse(&resolver, stream, from).await;
        });
    }
}

async fn converse(resolver: &Resolver, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
    loop {
        let length = timeout(SILENCE, stream.read_u16()).await??;
        let mut message = vec![0; usize::from(length)];
        timeout(SILENCE, stream.read_exact(&mut message)).await??;
        let Some(answer) = resolver.answer(&message, from).await else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [length.to_be_bytes().to_vec(), answer].concat();
        timeout(SILENCE, stream.write_all(&framed)).await??;
    }
}
