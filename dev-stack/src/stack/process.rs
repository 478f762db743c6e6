//! One process of the system: started, watched, started again when it dies, and stopped. It knows
//! no service.

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{keeper::Keeper, log::Log};
use crate::Error;

/// How long a process may take to stop when asked to.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// The pause before a dead process is started again, doubled each time …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// … until it has run this long.
const HEALTHY: Duration = Duration::from_mins(1);

/// How long the last lines of an ended process may take to come through.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What of our own environment a process gets besides its own variables.
const INHERITED: [&str; 6] =
    ["PATH", "HOME", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE", "SSL_CERT_FILE"];

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) variables: Vec<(String, String)>,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It runs, with this process id.
    Running(u32),
    /// It ended by itself or was killed from outside.
    Died(ExitStatus),
    /// It was stopped by us.
    Stopped,
}

/// How to stop a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// SIGTERM, and SIGKILL if that does not help.
    Ask,
    /// SIGKILL.
    Kill,
}

enum Order {
    Start(Vec<(String, String)>, oneshot::Sender<Result<(), Error>>),
    Stop(Way, oneshot::Sender<Option<ExitStatus>>),
    KeepAlive,
}

/// The handle of a process that a task of its own looks after.
pub(crate) struct Process {
    orders: mpsc::Sender<Order>,
    condition: watch::Receiver<Condition>,
    pub(crate) log: Log,
}

impl Process {
    /// A process that is not started yet.
    pub(crate) fn new(program: Program, log: Log, keeper: Arc<Keeper>) -> Self {
        let (orders, inbox) = mpsc::channel(4);
        let (announce, condition) = watch::channel(Condition::Stopped);
        let caretaker = Caretaker {
            program,
            log: log.clone(),
            keeper,
            announce,
            restarts: false,
            pause: FIRST_PAUSE,
            started: Instant::now(),
            readers: Vec::new(),
        };
        tokio::spawn(caretaker.run(inbox));
        Self { orders, condition, log }
    }

    /// Starts it, with these variables in place of or besides its own from now on.
    pub(crate) async fn start(&self, variables: Vec<(String, String)>) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Start(variables, answer)).await;
        answered.await.expect("the caretaker answers every order")
    }

    /// Stops it; gives how it ended, or `None` where it did not run.
    pub(crate) async fn stop(&self, way: Way) -> Option<ExitStatus> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Stop(way, answer)).await;
        answered.await.expect("the caretaker answers every order")
    }

    /// From now on it is started again when it dies.
    pub(crate) async fn keep_alive(&self) {
        self.order(Order::KeepAlive).await;
    }

    /// What it is doing now.
    pub(crate) fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    /// How it ended by itself; waits for that.
    pub(crate) async fn ended(&self) -> ExitStatus {
        let mut condition = self.condition.clone();
        loop {
            if let Condition::Died(status) = *condition.borrow_and_update() {
                return status;
            }
            condition.changed().await.expect("the caretaker lives as long as its handle");
        }
    }

    async fn order(&self, order: Order) {
        self.orders.send(order).await.expect("the caretaker lives as long as its handle");
    }
}

/// The task that owns the child process.
struct Caretaker {
    program: Program,
    log: Log,
    keeper: Arc<Keeper>,
    announce: watch::Sender<Condition>,
    restarts: bool,
    pause: Duration,
    started: Instant,
    /// Those who read its output.
    readers: Vec<JoinHandle<()>>,
}

impl Caretaker {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut child: Option<Child> = None;
        let mut again_at: Option<Instant> = None;
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    None => {
                        self.end(&mut child, Way::Kill).await;
                        return;
                    }
                    Some(Order::KeepAlive) => self.restarts = true,
                    Some(Order::Stop(way, answer)) => {
                        again_at = None;
                        let status = self.end(&mut child, way).await;
                        // Who asked may have gone; the process has stopped all the same.
                        let _ = answer.send(status);
                    }
                    Some(Order::Start(variables, answer)) => {
                        again_at = None;
                        self.end(&mut child, Way::Ask).await;
                        self.program.replace(variables);
                        let started = self.spawn().await.map(|new| child = Some(new));
                        let _ = answer.send(started);
                    }
                },
                status = exit(child.as_mut()) => {
                    again_at = self.died(child.take(), status).await;
                }
                () = moment(again_at) => {
                    again_at = None;
                    match self.spawn().await {
                        Ok(new) => {
                            tracing::info!("{} runs again", self.program.name);
                            child = Some(new);
                        }
                        Err(error) => {
                            tracing::error!("{}", error.chain());
                            again_at = Some(Instant::now() + self.next_pause());
                        }
                    }
                }
            }
        }
    }

    async fn spawn(&mut self) -> Result<Child, Error> {
        let Program { name, binary, arguments, variables } = &self.program;
        let mut command = std::process::Command::new(binary);
        // A group of its own, so that Ctrl-C reaches us alone and we stop it in order.
        command.args(arguments).env_clear().process_group(0);
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(inherited).envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Spawn { name: (*name).to_owned(), source })?;
        let pid = child.id().expect("a process just started has a number");
        self.keeper.add(pid).await;
        let output = child.stdout.take().expect("the pipe was asked for");
        let errors = child.stderr.take().expect("the pipe was asked for");
        self.readers.push(tokio::spawn(self.log.clone().follow(output)));
        self.readers.push(tokio::spawn(self.log.clone().follow(errors)));
        self.started = Instant::now();
        self.announce.send_replace(Condition::Running(pid));
        Ok(child)
    }

    /// Takes note of a death; gives when to start again, if at all.
    async fn died(&mut self, child: Option<Child>, status: ExitStatus) -> Option<Instant> {
        if let Some(pid) = self.pid() {
            self.keeper.remove(pid).await;
        }
        drop(child);
        self.read_out().await;
        self.announce.send_replace(Condition::Died(status));
        if !self.restarts {
            return None;
        }
        if self.started.elapsed() > HEALTHY {
            self.pause = FIRST_PAUSE;
        }
        let pause = self.next_pause();
        tracing::error!(
            "{} ended unexpectedly ({status}). The rest keeps running, and it is started again in \
             {} s. Its last lines are above; Ctrl-C stops everything.",
            self.program.name,
            pause.as_secs()
        );
        Some(Instant::now() + pause)
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    async fn end(&mut self, child: &mut Option<Child>, way: Way) -> Option<ExitStatus> {
        let mut child = child.take()?;
        let pid = self.pid();
        if way == Way::Ask
            && let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        {
            // It may have ended this very moment, which is what we want.
            let _ = kill_process(pid, Signal::TERM);
            if tokio::time::timeout(STOP_DEADLINE, child.wait()).await.is_err() {
                tracing::warn!(
                    "{} did not stop within {} s and is killed",
                    self.program.name,
                    STOP_DEADLINE.as_secs()
                );
            }
        }
        // Both do nothing to a process that has ended.
        let _ = child.start_kill();
        let status = child.wait().await.ok();
        if let Some(pid) = pid {
            self.keeper.remove(pid).await;
        }
        self.read_out().await;
        self.announce.send_replace(Condition::Stopped);
        status
    }

    /// Waits until the last lines are in the log.
    async fn read_out(&mut self) {
        for reader in self.readers.drain(..) {
            // A pipe that somebody else still holds is not worth waiting for.
            let _ = tokio::time::timeout(LAST_LINES, reader).await;
        }
    }

    fn pid(&self) -> Option<u32> {
        match *self.announce.borrow() {
            Condition::Running(pid) => Some(pid),
            _ => None,
        }
    }
}

impl Program {
    /// Sets variables, in place of those of the same names.
    pub(crate) fn replace(&mut self, variables: Vec<(String, String)>) {
        self.variables.retain(|(known, _)| variables.iter().all(|(new, _)| new != known));
        self.variables.extend(variables);
    }
}

/// The end of the process; never where there is none.
async fn exit(child: Option<&mut Child>) -> ExitStatus {
    match child {
        Some(child) => child.wait().await.expect("a child process can be waited for"),
        None => std::future::pending().await,
    }
}

/// The moment; never where there is none.
async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
