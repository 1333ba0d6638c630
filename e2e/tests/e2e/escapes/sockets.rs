//! Sockets of the host: engines, buses, agents, displays; by path, by abstract name, by datagram.

use super::everybody;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;

#[test]
fn no_socket_of_the_host_is_reached() {
    everybody(|stage| {
        let tmp = PathBuf::from(format!(
            "/tmp/{}.sock",
            stage.home.parent().unwrap().file_name().unwrap().display()
        ));
        let paths = [stage.home.join("bus.sock"), stage.workspace.join("engine.sock"), tmp.clone()];
        let listeners: Vec<UnixListener> =
            paths.iter().map(|path| UnixListener::bind(path).unwrap()).collect();
        for (path, listener) in paths.iter().zip(&listeners) {
            stage.person.owns(path);
            listener.set_nonblocking(true).unwrap();
        }
        let attempts: Vec<String> =
            paths.iter().map(|path| format!("./probe unix {}", path.display())).collect();
        let inside = stage.inside(&(attempts.join("; ") + "; true")).ended(0);
        let reached = listeners.iter().filter(|listener| listener.accept().is_ok()).count();
        assert!(reached == 0 && !inside.stdout.contains("done"), "{reached} reached: {inside}");
        for attempt in &attempts {
            stage.outside(attempt).ended(0);
        }
        std::fs::remove_file(tmp).unwrap();
    });
}

#[test]
fn no_abstract_name_of_the_host_is_reached() {
    everybody(|stage| {
        let name = stage.home.display().to_string();
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let attempt = format!("./probe abstract {name}");
        stage.inside(&attempt).ended(1);
        assert!(listener.accept().is_err(), "reached");
        stage.outside(&attempt).ended(0);
    });
}

#[test]
fn no_datagram_reaches_a_socket_of_the_host() {
    everybody(|stage| {
        let paths = [stage.home.join("log.sock"), stage.workspace.join("log.sock")];
        for path in &paths {
            let socket = UnixDatagram::bind(path).unwrap();
            socket.set_nonblocking(true).unwrap();
            stage.person.owns(path);
            for way in ["unix-datagram", "unix-datagram-connect"] {
                let attempt = format!("./probe {way} {}", path.display());
                let inside = stage.inside(&attempt);
                assert!(inside.status == 1 && socket.recv(&mut [0]).is_err(), "{inside}");
                stage.outside(&attempt).ended(0);
                assert_eq!(socket.recv(&mut [0]).unwrap(), 1, "no attempt at all");
            }
        }
    });
}

#[test]
fn no_variable_leads_to_a_socket_of_the_host() {
    everybody(|stage| {
        let names = [
            "SSH_AUTH_SOCK",
            "DBUS_SESSION_BUS_ADDRESS",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "XAUTHORITY",
            "TMUX",
            "DOCKER_HOST",
            "XDG_RUNTIME_DIR",
            "GPG_AGENT_INFO",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
        ];
        for name in names {
            stage.set(name, format!("led-out-by-{name}"));
        }
        let ran = stage.inside("env").ended(0);
        assert!(!ran.stdout.contains("led-out-by-"), "{ran}");
    });
}

#[test]
fn folders_of_sockets_are_empty() {
    everybody(|stage| {
        let ran = stage.inside("find /run /var/run /tmp -type s 2>/dev/null; ls /run/docker.sock /run/dbus /run/user /run/systemd; true");
        assert_eq!(ran.stdout, "", "{ran}");
    });
}
