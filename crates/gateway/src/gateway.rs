//! The gateway of a run: its listening sockets, the thread that serves them, and its end.
//!
//! Owns how long it lives: until it is drained, or until something without which it must not go on is gone; then whoever watches
//! is told. Does not own the making of the sockets, which happens in the jail, or what a connection is about (`connection`).

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use admission::Admission;
use policy::Endpoint;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::bounds::Bounds;
use crate::ca::Authority;
use crate::caps::Caps;
use crate::carriage::{Carriage, Teller, Voice};
use crate::cassette::Recorder;
use crate::connection::{self, Carrier, Taken};
use crate::consult::{self, Models};
use crate::credential::Credentials;
use crate::guests::Guests;
use crate::inside::{Inside, InsideDoor};
use crate::judge::Judge;
use crate::meter::{Flows, Meter};
use crate::names::{Names, System};
use crate::record::Records;
use crate::resolver::{self, Resolver};
use crate::upstream::{Roots, Upstream};
use crate::via::Via;
use crate::wire::Wire;

/// How often the gateway looks whether the ledger still takes what it sees.
const LEDGER_LOOK: Duration = Duration::from_secs(1);
/// How long a door rests that found no descriptor left for a connection.
const REST: Duration = Duration::from_millis(50);

/// The sockets that listen in the jail.
#[derive(Debug)]
pub struct Seat {
    /// Where the proxy is reached.
    pub proxy: std::net::TcpListener,
    /// Each stands for this port of the host's loopback, whether or not a rule allows to go there.
    pub loopback: Vec<(u16, std::net::TcpListener)>,
    /// For programs that know nothing of proxies.
    pub carried: Option<Carried>,
    /// Whose connections are taken, where others of the machine reach the sockets too; `None` where only the run does.
    pub guests: Option<Guests>,
}

/// How TLS is opened, where that must be, and spoken on the other side.
#[derive(Debug)]
pub struct Tls {
    /// The run's own.
    pub authority: Authority,
    /// Whom the outside's certificates must come from.
    pub roots: Roots,
}

/// The outside, and how much of it there may be.
#[allow(missing_debug_implementations, reason = "who looks names up need not show itself")]
pub struct Outer {
    /// Who looks names up.
    pub names: Arc<dyn Names>,
    /// A proxy by which it is reached.
    pub via: Option<Via>,
    /// The limits.
    pub bounds: Bounds,
}

/// What takes connections that are carried, and answers for names.
#[derive(Debug)]
pub struct Carried {
    /// Where they come.
    pub streams: Vec<std::net::TcpListener>,
    /// Where names are asked, by datagram ..
    pub names: std::net::UdpSocket,
    /// .. and by stream.
    pub long_names: std::net::TcpListener,
    /// What whoever carries them tells of them.
    pub carriage: Arc<Carriage>,
    /// How a process is told of a refusal.
    pub voice: Arc<dyn Voice>,
    /// The name of the inside itself.
    pub host_name: String,
}

/// The gateway could not begin.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The system gives no event queue, pipe or thread.
    #[error("the gateway cannot start")]
    Start(#[source] io::Error),
    /// A listening socket cannot be used.
    #[error("the gateway cannot use a listening socket")]
    Listener(#[source] io::Error),
}

/// A gateway at work.
pub struct Gateway {
    thread: Option<JoinHandle<()>>,
    over: Option<oneshot::Sender<Duration>>,
    alive: io::PipeReader,
    meter: Arc<Meter>,
}

/// Starts the gateway of a run, on a thread of its own.
///
/// # Errors
/// The system has no thread for it, or a socket is none.
pub fn serve(
    seat: Seat,
    admission: Admission,
    credentials: Credentials,
    inside: Arc<dyn Inside>,
    tls: Tls,
    (models, recorder, via): (Models, Option<Recorder>, Option<Via>),
) -> Result<Gateway, GatewayError> {
    serve_with(
        seat,
        admission,
        credentials,
        inside,
        (tls, models, recorder),
        Outer { names: Arc::new(System), via, bounds: Bounds::default() },
    )
}

/// Starts a gateway with its own way to look up names, and its own limits.
///
/// # Errors
/// As [`serve`].
pub fn serve_with(
    seat: Seat,
    admission: Admission,
    credentials: Credentials,
    inside: Arc<dyn Inside>,
    (tls, models, recorder): (Tls, Models, Option<Recorder>),
    Outer { names, via, bounds }: Outer,
) -> Result<Gateway, GatewayError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("provost-gateway")
        .build()
        .map_err(GatewayError::Start)?;
    let (alive, living) = io::pipe().map_err(GatewayError::Start)?;
    let (over, ending) = oneshot::channel();
    let meter = Arc::new(Meter::new(bounds.destinations, recorder.clone()));
    let inside = InsideDoor::new(inside, &bounds);
    let Tls { authority, roots } = tls;
    let upstream = Arc::new(Upstream::new(roots, &bounds));
    let reading = consult::seats(&bounds);
    let records = Records { asked: admission.records(), models: admission.records_models(), recorder };
    let judge = Judge {
        admission,
        credentials,
        names,
        meter: Arc::clone(&meter),
        caps: Caps::default(),
        models,
        records,
        via,
        reading,
        bounds,
    };
    let guests = seat.guests.clone();
    let carriage = seat.carried.as_ref().map(|carried| Arc::clone(&carried.carriage));
    let (doors, names) = doors(&runtime, seat, &judge).map_err(GatewayError::Listener)?;
    let carrier = Arc::new(Carrier { judge, inside, guests, authority, upstream, carriage });
    let thread = thread::Builder::new().name("provost-gateway".to_owned()).spawn(move || {
        // Closed when this thread ends, however it ends: that is what a watcher sees.
        let _living = living;
        runtime.block_on(work(carrier, doors, names, ending));
        // Whoever answers at the door inside may still be at it; nobody is there to hear it.
        runtime.shutdown_background();
    });
    let thread = Some(thread.map_err(GatewayError::Start)?);
    Ok(Gateway { thread, over: Some(over), alive, meter })
}

impl Gateway {
    /// A descriptor that becomes readable, at its end, when the gateway no longer works. If nobody drained it, the run has to be
    /// stopped: nothing of it can leave any more.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn watch(&self) -> io::Result<OwnedFd> {
        self.alive.try_clone().map(OwnedFd::from)
    }

    /// The sums so far.
    pub fn flows(&self) -> Flows {
        self.meter.report()
    }

    /// Takes no more connections, gives those that are open `patience` to end, ends them, and gives the sums.
    pub fn drain(mut self, patience: Duration) -> Flows {
        self.end(patience);
        self.meter.report()
    }

    fn end(&mut self, patience: Duration) {
        if let Some(over) = self.over.take() {
            // Where it is over already, there is nobody to tell.
            let _ = over.send(patience);
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended all the same; its watchers know.
            let _ = thread.join();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

/// A listening socket, and where its connections lead.
type Door = (TcpListener, Leads);

/// Where the connections of a door lead.
#[derive(Clone)]
enum Leads {
    /// Wherever they say.
    Anywhere,
    /// To a port of the host.
    To(Endpoint),
    /// To what was told of them.
    AsTold(Arc<Taken>),
}

/// Where names are asked.
struct NameDoor {
    resolver: Arc<Resolver>,
    datagrams: UdpSocket,
    streams: TcpListener,
}

fn doors(runtime: &Runtime, seat: Seat, judge: &Judge) -> io::Result<(Vec<Door>, Option<NameDoor>)> {
    let _runtime = runtime.enter();
    let listen = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let mut doors = vec![(listen(seat.proxy)?, Leads::Anywhere)];
    for (port, listener) in seat.loopback {
        doors.push((listen(listener)?, Leads::To(judge.host_port(port))));
    }
    let Some(Carried { streams, names, long_names, carriage, voice, host_name }) = seat.carried else {
        return Ok((doors, None));
    };
    let teller = Arc::new(Teller::new(voice));
    let taken = Arc::new(Taken { carriage: Arc::clone(&carriage), teller: Arc::clone(&teller) });
    for stream in streams {
        doors.push((listen(stream)?, Leads::AsTold(Arc::clone(&taken))));
    }
    names.set_nonblocking(true)?;
    let resolver = Resolver::new(judge.admission.clone(), carriage, teller, host_name);
    let (datagrams, streams) = (UdpSocket::from_std(names)?, listen(long_names)?);
    Ok((doors, Some(NameDoor { resolver: Arc::new(resolver), datagrams, streams })))
}

/// Serves until it is told to end, or cannot go on.
async fn work(
    carrier: Arc<Carrier>,
    doors: Vec<Door>,
    names: Option<NameDoor>,
    ending: oneshot::Receiver<Duration>,
) {
    let (tell, told) = watch::channel(Duration::ZERO);
    let room = Arc::new(Semaphore::new(carrier.judge.bounds.connections));
    let mut open = JoinSet::new();
    for (listener, to) in doors {
        open.spawn(attend(Arc::clone(&carrier), listener, to, Arc::clone(&room), told.clone()));
    }
    if let Some(NameDoor { resolver, datagrams, streams }) = names {
        open.spawn(resolver::datagrams(Arc::clone(&resolver), datagrams, told.clone()));
        open.spawn(resolver::streams(resolver, streams, told.clone()));
    }
    drop(told);
    let patience = tokio::select! {
        patience = ending => patience.unwrap_or_default(),
        _ = open.join_next() => Duration::ZERO,
        () = ledger_gone(&carrier.judge.admission) => Duration::ZERO,
    };
    // Nobody listens only where no door is left.
    let _ = tell.send(patience);
    while open.join_next().await.is_some() {}
    // A token that was just given must not be lost: who gave it takes the old one no more.
    carrier.judge.credentials.logins.settle().await;
}

/// Ends when the ledger takes nothing more. Then what is open must end too: nothing can be said about it.
async fn ledger_gone(admission: &Admission) {
    loop {
        sleep(LEDGER_LOOK).await;
        let admission = admission.clone();
        match tokio::task::spawn_blocking(move || admission.barrier()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Takes connections at one door until it is told to end; then ends them.
async fn attend(
    carrier: Arc<Carrier>,
    listener: TcpListener,
    to: Leads,
    room: Arc<Semaphore>,
    mut told: watch::Receiver<Duration>,
) {
    let mut open = JoinSet::new();
    loop {
        let (stream, from) = tokio::select! {
            biased;
            _ = told.changed() => break,
            Some(ended) = open.join_next() => {
                count_fault(&carrier, ended);
                continue;
            }
            accepted = listener.accept() => match accepted {
                // Whoever else found the door is not let in, and not answered.
                Ok((_, from)) if !carrier.admits(from) => continue,
                Ok(accepted) => accepted,
                Err(error) if is_of_one(&error) => continue,
                Err(_) => {
                    sleep(REST).await;
                    continue;
                }
            },
        };
        let wire = Wire::new(stream);
        let Ok(seat) = Arc::clone(&room).try_acquire_owned() else {
            carrier.judge.meter.turned_away();
            match &to {
                // It may speak anything, so nothing can be said.
                Leads::AsTold(taken) => {
                    drop(taken.carriage.take_now(from));
                    wire.break_off();
                }
                // Whoever does not hear it sees the end of the connection.
                _ => drop(connection::turn_away(&wire, carrier.judge.bounds.connections)),
            }
            continue;
        };
        let (carrier, to) = (Arc::clone(&carrier), to.clone());
        open.spawn(async move {
            let _seat = seat;
            match to {
                Leads::Anywhere => connection::proxy(carrier, wire).await,
                Leads::To(endpoint) => connection::port(carrier, wire, endpoint).await,
                Leads::AsTold(taken) => connection::carried(carrier, wire, from, taken).await,
            }
        });
    }
    drop(listener);
    let patience = *told.borrow();
    let ended = async {
        while let Some(ended) = open.join_next().await {
            count_fault(&carrier, ended);
        }
    };
    if timeout(patience, ended).await.is_err() {
        open.shutdown().await;
    }
}

fn count_fault(carrier: &Carrier, ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        carrier.judge.meter.fault();
    }
}

/// Whether an error is about the one connection that was being taken.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
