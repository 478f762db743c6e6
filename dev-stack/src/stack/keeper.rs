//! Sees to it that no process outlives us, even if we are killed without warning: a shell that
//! waits at the end of a pipe only we hold. When the pipe ends it ends the processes we told it of.
//!
//! The kernel's own way, a parent-death signal, needs unsafe code and exists on Linux alone.

use std::{os::unix::process::CommandExt as _, process::Stdio};

use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
    sync::Mutex,
};

use crate::Error;

/// Reads `+pid` and `-pid`; at the end asks what is left to stop, waits ten seconds, and kills.
const SCRIPT: &str = r#"
pids=
while read -r line; do
  case $line in
    +*) pids="$pids ${line#+}" ;;
    -*) rest=
        for pid in $pids; do [ "$pid" = "${line#-}" ] || rest="$rest $pid"; done
        pids=$rest ;;
  esac
done
alive() { for pid in $pids; do kill -0 "$pid" 2>/dev/null && return 0; done; return 1; }
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
waited=0
while alive && [ $waited -lt 10 ]; do sleep 1; waited=$((waited + 1)); done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
exit 0
"#;

/// The shell and the pipe to it.
pub(crate) struct Keeper {
    pipe: Mutex<ChildStdin>,
    // Held so that it is reaped; it ends by itself when the pipe closes.
    _shell: Child,
}

impl Keeper {
    pub(crate) fn start() -> Result<Self, Error> {
        let spawn = |source| Error::Spawn { name: "/bin/sh".to_owned(), source };
        let mut command = std::process::Command::new("/bin/sh");
        // A group of its own, so that Ctrl-C in the terminal does not reach it.
        command.args(["-c", SCRIPT, "dev-stack-keeper"]).process_group(0);
        let mut shell = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(spawn)?;
        let pipe = shell.stdin.take().expect("the pipe was asked for");
        Ok(Self { pipe: Mutex::new(pipe), _shell: shell })
    }

    /// From now on the process is ended when we are gone.
    pub(crate) async fn add(&self, pid: u32) {
        self.tell(format!("+{pid}\n")).await;
    }

    /// The process has ended, and its number may become another's.
    pub(crate) async fn remove(&self, pid: u32) {
        self.tell(format!("-{pid}\n")).await;
    }

    async fn tell(&self, line: String) {
        if let Err(error) = self.pipe.lock().await.write_all(line.as_bytes()).await {
            tracing::warn!(%error, "processes may outlive this one if it is killed");
        }
    }
}
