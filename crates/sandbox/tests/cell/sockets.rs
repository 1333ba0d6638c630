//! Sockets by path: the host's, which come to be where its files are shown, by every spelling and by races; and the run's own.

use super::asked::PYTHON;
use super::runner::Case;
use super::scene::Scene;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("no_spelling_leads_to_a_socket_of_the_host", no_spelling),
    ("no_race_leads_to_a_socket_of_the_host", no_race),
    ("sockets_of_the_run_answer_as_ever", sockets_of_the_run),
];

/// A scene with a folder of the host that is shown.
fn scene(root: &Path, script: &str) -> (Scene, String) {
    let mut scene = Scene::new(root);
    let shown = root.join("shown");
    fs::create_dir(&shown).unwrap();
    scene.rules = format!("[[rule]]\nid = \"shown\"\nread = [\"{}/**\"]\nneed = \"none\"\n", shown.display());
    fs::write(scene.work().join("try.py"), script).unwrap();
    (scene, format!("exec {PYTHON} try.py {}", shown.display()))
}

const SPELLINGS: &str = r"
import os, socket, sys
shown = sys.argv[1]
work = os.getcwd()
def attempt(path, kind=socket.SOCK_STREAM):
    try:
        socket.socket(socket.AF_UNIX, kind).connect(path)
        print('reached', path)
    except OSError: pass
os.symlink(shown + '/late', 'link')
os.symlink(shown, 'folder')
for path in [shown + '/late', 'link', work + '/link', 'folder/late', '/proc/self/cwd/link', shown + '/../shown/late',
             '/proc/self/root' + shown + '/late', f'/proc/{os.getpid()}/root' + shown + '/late', 'folder/../shown/late']:
    attempt(path)
    attempt(path, socket.SOCK_SEQPACKET)
    attempt(path[:-4] + 'post' if path.endswith('late') else path, socket.SOCK_DGRAM)
held = os.open(shown + '/late', os.O_PATH)
folder = os.open(shown, os.O_PATH)
attempt(f'/proc/self/fd/{held}'); attempt(f'/dev/fd/{held}'); attempt(f'/proc/self/fd/{folder}/late')
attempt(f'/proc/{os.getppid()}/fd/{held}')
os.chdir(shown)
for path in ['late', './late', '/proc/self/cwd/late', '/proc/thread-self/cwd/late']: attempt(path)
attempt('post', socket.SOCK_DGRAM)
print('done')
";

fn no_spelling(root: &Path) {
    let (scene, script) = scene(root, SPELLINGS);
    let set = scene.set(&["/bin/bash", "-c", &script]);
    let listener = UnixListener::bind(root.join("shown/late")).unwrap();
    let _post = UnixDatagram::bind(root.join("shown/post")).unwrap();
    let ran = set.go().unwrap().end();
    assert_eq!(ran.out, "done\n", "{}", ran.err);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "reached");
}

const RACES: &str = r"
import ctypes, os, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def local(path): return (struct.pack('=H', socket.AF_UNIX) + path.encode()).ljust(110, b'\0')
own = socket.socket(socket.AF_UNIX); own.bind('own'); own.listen(4096)
inner = socket.socket(); inner.bind(('127.0.0.1', 0)); inner.listen(4096)
port = inner.getsockname()[1]
inet = (struct.pack('=H', socket.AF_INET) + struct.pack('>H', port) + bytes([127, 0, 0, 1])).ljust(110, b'\0')
bad = local(sys.argv[1] + '/late')
buffer = ctypes.create_string_buffer(110)
slot = os.dup(0)
def race(good, family):
    ended = False
    here = [socket.socket(family)]
    there = [socket.socket(socket.AF_UNIX)]
    def flip():
        while not ended:
            try:
                os.dup2(there[0].fileno(), slot); buffer[:] = bad
                os.dup2(here[0].fileno(), slot); buffer[:] = good
            except OSError: pass
    flipper = threading.Thread(target=flip); flipper.start()
    came = {}
    for _ in range(400):
        done = libc.connect(slot, buffer, 110 if family == socket.AF_UNIX else 110)
        came[0 if done == 0 else ctypes.get_errno()] = 1
        here[0] = socket.socket(family); there[0] = socket.socket(socket.AF_UNIX)
    ended = True
    flipper.join()
    return came
sys.setswitchinterval(1e-5)
for good, family in [(local(os.getcwd() + '/own'), socket.AF_UNIX), (inet, socket.AF_INET),
                     (local('\0name'), socket.AF_UNIX)]:
    came = race(good, family)
    print(13 in came and len(came) > 1, flush=True)
os._exit(0)
";

fn no_race(root: &Path) {
    let (scene, script) = scene(root, RACES);
    let set = scene.set(&["/bin/bash", "-c", &script]);
    let listener = UnixListener::bind(root.join("shown/late")).unwrap();
    let ran = set.go().unwrap().end();
    listener.set_nonblocking(true).unwrap();
    let reached = std::iter::from_fn(|| listener.accept().ok()).count();
    assert_eq!(reached, 0, "{} {}", ran.out, ran.err);
    // Both sides of each race were seen, or there was none.
    assert_eq!(ran.out, "True\nTrue\nTrue\n", "{}", ran.err);
}

const OWN: &str = r"
import errno, os, signal, socket, struct, threading, time
def named(kind, name, backlog=8):
    one = socket.socket(socket.AF_UNIX, kind); one.bind(name)
    if kind != socket.SOCK_DGRAM: one.listen(backlog)
    return one
def came(path, kind=socket.SOCK_STREAM, say=b'x', timeout=None, block=True):
    one = socket.socket(socket.AF_UNIX, kind)
    if not block: one.setblocking(False)
    if timeout: one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 0, timeout))
    try: one.connect(path); one.send(say); return one
    except OSError as error: return errno.errorcode[error.errno]
stream, packets, post = named(1, 'stream'), named(5, 'packets'), named(2, 'post')
abstract = named(1, '\0name')
for path in ['stream', './stream', os.getcwd() + '/stream', '/proc/self/cwd/stream', '\0name']:
    one = came(path)
    server = abstract if path[0] == '\0' else stream
    assert server.accept()[0].recv(1) == b'x', path
assert came('packets', 5) and packets.accept()[0].recv(1) == b'x'
assert came('post', 2) and post.recv(1) == b'x'
print(came('stream', 5), came('nothing'), came('try.py'), came('post'))
narrow = named(1, 'narrow', 0)
full = [came('narrow')]
print(came('narrow', block=False), came('narrow', timeout=100000))
late = []
waiting = threading.Thread(target=lambda: late.append(came('narrow'))); waiting.start()
time.sleep(0.3); assert not late
# Nobody else waits with it.
assert came('stream') and stream.accept()
narrow.accept(); waiting.join()
assert type(late[0]) is socket.socket, late
# Who waits can be killed.
child = os.fork()
if child == 0: came('narrow'); os._exit(0)
time.sleep(0.3); os.kill(child, signal.SIGKILL); print(os.waitpid(child, 0)[1])
pid, uid, gid = struct.unpack('iII', (came('stream'), stream.accept()[0])[1].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
print(uid == os.getuid(), gid == os.getgid())
tcp = socket.socket(); tcp.bind(('127.0.0.1', 0))
port = tcp.getsockname()[1]
def refused(block):
    one = socket.socket(); one.setblocking(block); return errno.errorcode[one.connect_ex(('127.0.0.1', port))]
print(refused(True), refused(False)); tcp.listen(64)
one = socket.create_connection(('127.0.0.1', port)); print(errno.errorcode[one.connect_ex(('127.0.0.1', port))])
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def raw(one, address, length): 
    return errno.errorcode.get(-libc.connect(one.fileno(), address, length) and ctypes.get_errno(), 'fine')
v4 = struct.pack('=H', 2) + struct.pack('>H', port) + bytes([127, 0, 0, 1] + [0] * 112)
print(*[raw(socket.socket(), v4, length) for length in [0, 2, 8, 15, 16, 28, 120, 129, 1 << 20, -1]])
udp = socket.socket(type=2); udp.connect(('127.0.0.1', 9)); print(raw(udp, bytes(16), 16))
print(errno.errorcode[socket.socket().connect_ex(('127.0.0.1', 1))], raw(open('/dev/null'), v4, 16))
print(libc.connect(999, v4, 16), errno.errorcode[ctypes.get_errno()])
";

fn sockets_of_the_run(root: &Path) {
    let (scene, script) = scene(root, OWN);
    let ran = scene.run(&["/bin/bash", "-c", &script]);
    assert_eq!(
        ran.fine(),
        "EPROTOTYPE ENOENT ECONNREFUSED EPROTOTYPE\nEAGAIN EAGAIN\n9\nTrue True\nECONNREFUSED EINPROGRESS\nEISCONN\n\
         EINVAL EINVAL EINVAL EINVAL fine fine fine EINVAL EINVAL EINVAL\nfine\nECONNREFUSED ENOTSOCK\n-1 EBADF\n"
    );
}
