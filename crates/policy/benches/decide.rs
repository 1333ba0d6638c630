//! How long a decision takes with 1,000 rules. Prints lines `name median_ns p99_ns`; judges nothing.
//!
//! warm: what was asked before. fresh: paths never asked before. hostile: words in a random order, long enough that the
//! states of the automaton are thrown away again and again. fallback: the same under rules that no cache can follow.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a benchmark")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use policy::{
    AbsPath, Action, Anchors, Command, Context, Endpoint, HttpRequest, Layer, LayerKind, Policy, Scheme,
};

fn main() {
    let policy = compile(&rules());
    measure("read_warm_1000_rules", &policy, &paths(0, 16), 200_000);
    measure("read_fresh_1000_rules", &policy, &paths(16, 20_000), 20_000);
    measure("write_default_1000_rules", &policy, &writes(), 200_000);
    measure("connect_warm_1000_rules", &policy, &hosts(), 200_000);
    measure("exec_warm_1000_rules", &policy, &commands(16, 6), 200_000);
    measure("exec_hostile_1000_rules", &policy, &commands(4_000, 200), 4_000);
    let few = measure("http_conditions_10_rules", &compile(&conditions(10)), &requests(10), 100_000);
    let many = measure("http_conditions_1000_rules", &compile(&conditions(1_000)), &requests(1_000), 100_000);
    println!("http_conditions_1000_to_10_permille {} 0", many * 1000 / few.max(1));
    measure_start();
    let policy = compile(&bombs());
    measure("exec_fallback_200_words", &policy, &commands(2_000, 200), 2_000);
}

fn anchors() -> Anchors {
    Anchors {
        workspace: "/home/ann/work".into(),
        home: "/home/ann".into(),
        state: "/home/ann/.local/state/provost".into(),
        config: "/home/ann/.config/provost".into(),
    }
}

fn compile(text: &str) -> Policy {
    let started = Instant::now();
    let layer = Layer::parse("bench", LayerKind::File, text).unwrap();
    let parsed = started.elapsed();
    let policy = Policy::compile(vec![layer], &anchors(), &Context::default()).unwrap();
    println!("# parsed in {parsed:?}, compiled in {:?}", started.elapsed() - parsed);
    policy
}

/// What a run pays at its start: the system layer and a profile, read and put together.
fn measure_start() {
    let profile = policy::profiles().iter().find(|(name, ..)| *name == "build").unwrap().1;
    let mut took: Vec<u128> = (0..200)
        .map(|_| {
            let started = Instant::now();
            let layers = [(LayerKind::System, policy::system_layer()), (LayerKind::Profile, profile)]
                .map(|(kind, text)| Layer::parse("bench", kind, text).unwrap());
            black_box(Policy::compile(layers.into(), &anchors(), &Context::default()).unwrap());
            started.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    println!("start_build_profile {} {}", took[took.len() / 2], took[took.len() * 99 / 100]);
}

/// A thousand rules as people write them: trees, shapes, hosts with stars, commands with words in the middle.
fn rules() -> String {
    let mut text = "version = 1\ndefault = { exec = \"none\" }\n[[rule]]\nid = \"open\"\nneed = \"none\"\nread = [\"./**\", \"/usr/**\"]\nconnect = [\"**.example.com\"]\n".to_owned();
    for at in 0..333 {
        text.push_str(&format!(
            "[[rule]]\nid = \"p{at}\"\nneed = \"never\"\nread = [\"./dir{at}/secret/**\", \"./**/key{at}.pem\"]\nexcept = [\"./dir{at}/secret/public/**\"]\n\
             [[rule]]\nid = \"h{at}\"\nneed = \"human\"\nconnect = [\"*.site{at}.net\", \"api{at}.example.com:8443\"]\n\
             [[rule]]\nid = \"c{at}\"\nneed = \"never\"\nexec = [\"git sub{at} ** {{--force,-f}} **\", \"tool{at} **\"]\n"
        ));
    }
    text
}

/// So many rules on requests, each with conditions.
fn conditions(count: usize) -> String {
    let rule = |at: usize| {
        format!(
            "[[rule]]\nid = \"r{at}\"\nneed = \"none\"\nhttp = [\"https://api.example.com/repos/r{at}/**\"]\nmethods = [\"GET\", \"POST\"]\n\
             query = {{ per_page = [\"?\", \"??\"], q{at} = [\"a*\", false] }}\nheaders = {{ \"content-type\" = [\"application/json*\", false] }}\nup = \"20MiB\"\n"
        )
    };
    format!("version = 1\n{}", (0..count).map(rule).collect::<String>())
}

fn requests(rules: usize) -> Vec<Action> {
    let one = |at: usize| {
        let endpoint = Endpoint::parse("api.example.com:443").unwrap();
        let at = at * rules / 16;
        let target = format!("/repos/r{at}/issues/7?per_page=50&state=open");
        let request = HttpRequest::new(Scheme::Https, endpoint, "GET", &target).unwrap();
        Action::Http(
            request.with_headers([("content-type", b"application/json".as_slice()), ("accept", b"*/*")]),
        )
    };
    (0..16).map(one).collect()
}

/// Words with stars between, which random words follow into ever new states.
fn bombs() -> String {
    let rule = |at: usize| {
        format!(
            "[[rule]]\nid = \"b{at}\"\nneed = \"never\"\nexec = [\"git ** a ** b ** c{at} ** a ** b ** d{at}\"]\n"
        )
    };
    let rules: String = (0..100).map(rule).collect();
    format!("version = 1\ndefault = {{ exec = \"none\" }}\n{rules}")
}

fn path(text: &str) -> AbsPath {
    AbsPath::new(Path::new(text)).unwrap()
}

fn paths(from: usize, count: usize) -> Vec<Action> {
    let one =
        |at: usize| Action::Read(path(&format!("/home/ann/work/dir{}/src/module{at}/file{at}.rs", at % 400)));
    (from..from + count).map(one).collect()
}

fn writes() -> Vec<Action> {
    (0..16).map(|at| Action::Write(path(&format!("/home/ann/work/a{at}")))).collect()
}

fn hosts() -> Vec<Action> {
    let one = |at: usize| Action::Connect(Endpoint::parse(&format!("cdn{at}.example.com:443")).unwrap());
    (0..16).map(one).collect()
}

fn commands(count: usize, words: usize) -> Vec<Action> {
    let mut seed = 7_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let words_of = |random: &mut dyn FnMut() -> usize| -> Vec<Vec<u8>> {
        let word = |at: usize| match at % 4 {
            0 => "a".to_owned(),
            1 => "b".to_owned(),
            2 => format!("c{}", at % 97),
            _ => format!("sub{}", at % 333),
        };
        std::iter::once("git".to_owned())
            .chain((0..words).map(|_| word(random())))
            .map(String::into_bytes)
            .collect()
    };
    let one = |random: &mut dyn FnMut() -> usize| {
        Action::Exec(Command::new(path("/usr/bin/git"), words_of(random), Vec::new()))
    };
    (0..count).map(|_| one(&mut random)).collect()
}

/// Decides each in turn, and times every decision by itself less what looking at the clock costs.
fn measure(name: &str, policy: &Policy, actions: &[Action], times: usize) -> u128 {
    if actions.len() <= 16 {
        actions.iter().for_each(|action| drop(black_box(policy.decide(action, &[]))));
    }
    let mut took: Vec<u128> = Vec::with_capacity(times);
    for at in 0..times {
        let action = &actions[at % actions.len()];
        let started = Instant::now();
        black_box(policy.decide(black_box(action), &[]));
        took.push(started.elapsed().as_nanos());
    }
    let clock = clock();
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100].saturating_sub(clock);
    println!("{name} {} {}", at(50), at(99));
    at(50)
}

fn clock() -> u128 {
    let mut took: Vec<u128> = (0..10_000)
        .map(|_| {
            let started = Instant::now();
            started.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}
