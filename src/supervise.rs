//! Named tasks: the only place that spawns, so that no task can die unseen and none outlives the drain.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The first wait before a dead task is started again; it doubles with each death in a row.
const RESTART_DELAY: Duration = Duration::from_millis(100);
/// The longest wait before a dead task is started again.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(10);
/// Deaths in a row after which a kept task ends the process, so that systemd starts it afresh.
const DEATHS_MAX: u32 = 8;

/// Spawns tasks, restarts those that must not die, and waits for all of them at the end. Clones share the tasks.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    tasks: TaskTracker,
    stopping: CancellationToken,
    broken: CancellationToken,
}

/// The way from a thread of its own back to the tasks.
#[derive(Clone, Debug)]
pub struct Ashore {
    supervisor: Supervisor,
    runtime: Option<Handle>,
}

impl Ashore {
    /// Runs `work` as a task. Whom it wakes, it wakes from among the tasks, which costs no system call for each. Where
    /// this way was made outside of a runtime, `work` runs right here.
    pub fn run(&self, name: &'static str, work: impl FnOnce() + Send + 'static) {
        let Some(runtime) = &self.runtime else { return work() };
        let _entered = runtime.enter();
        self.supervisor.spawn(name, async move { work() });
    }
}

impl Supervisor {
    /// A supervisor with no task yet.
    pub fn new() -> Supervisor {
        Supervisor::default()
    }

    /// Runs `future` to its end. A panic in it is caught and logged.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(name, future);
    }

    fn spawn_on(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        self.tasks.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                tracing::error!(task = name, panic = said(&*panic), "task panicked");
            }
        });
    }

    /// Keeps a task alive: whenever the future that `make` gives ends by a panic it is logged and made again after a
    /// delay; a task that keeps dying marks the process as broken, see [`Supervisor::broken`]. A future that returns
    /// has done its work and is not made again.
    pub fn keep<Make, Task>(&self, name: &'static str, make: Make)
    where
        Make: Fn() -> Task + Send + 'static,
        Task: Future<Output = ()> + Send + 'static,
    {
        let (stopping, broken) = (self.stopping.clone(), self.broken.clone());
        self.spawn_on(name, async move {
            let mut deaths = 0;
            loop {
                let Err(panic) = AssertUnwindSafe(make()).catch_unwind().await else { return };
                deaths += 1;
                tracing::error!(task = name, deaths, panic = said(&*panic), "task died");
                if deaths >= DEATHS_MAX {
                    tracing::error!(task = name, "task keeps dying, giving the process up");
                    broken.cancel();
                    return;
                }
                let delay = RESTART_DELAY.saturating_mul(1 << deaths.min(16)).min(RESTART_DELAY_MAX);
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(delay) => {}
                }
            }
        });
    }

    /// Runs a blocking function on its own thread pool. A panic in it is logged, and `None` is answered.
    pub async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(task = name, %error, "blocking task died");
                None
            }
        }
    }

    /// Starts a thread of its own for work that blocks all its life. A panic in it marks the process as broken.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn thread(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let broken = self.broken.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(work)) {
                tracing::error!(task = name, panic = said(&*panic), "thread died, giving the process up");
                broken.cancel();
            }
        })?;
        Ok(())
    }

    /// A way for such a thread to run something as a task, on the runtime that this is called on.
    pub fn ashore(&self) -> Ashore {
        Ashore { supervisor: self.clone(), runtime: Handle::try_current().ok() }
    }

    /// Completes once the process has been asked to stop. Long-lived tasks select on it.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Asks every task to stop.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Completes when a task that must not die keeps dying: the process should end, for its keeper to restart it.
    pub fn broken(&self) -> CancellationToken {
        self.broken.clone()
    }

    /// Says from outside the tasks that something that must not fail has failed.
    pub fn give_up(&self, what: &str) {
        tracing::error!(what, "giving the process up");
        self.broken.cancel();
    }

    /// Waits until every task has ended, at most `grace`. Answers whether all of them did.
    pub async fn drained(&self, grace: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }

    /// How many tasks run now.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_kept_task_that_panics_is_started_again() {
        let supervisor = Supervisor::new();
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        supervisor.keep("test", move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(run >= 2, "dies twice") }
        });
        assert!(supervisor.drained(Duration::from_secs(60)).await);
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert!(!supervisor.broken().is_cancelled());
    }

    #[tokio::test]
    async fn what_a_thread_sends_ashore_runs_as_a_task() {
        let (supervisor, (say, heard)) = (Supervisor::new(), tokio::sync::oneshot::channel());
        let ashore = supervisor.ashore();
        let name = || std::thread::current().name().map(str::to_owned);
        let work = move || ashore.run("test", move || say.send(name()).expect("it is heard"));
        supervisor.thread("a thread of its own", work).expect("a thread");
        assert_ne!(heard.await.expect("it runs").as_deref(), Some("a thread of its own"));
    }

    #[test]
    fn without_a_runtime_it_runs_at_once() {
        let ran = Arc::new(AtomicU32::new(0));
        let counted = ran.clone();
        Supervisor::new().ashore().run("test", move || counted.store(1, Ordering::SeqCst));
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_keeps_dying_breaks_the_process() {
        let supervisor = Supervisor::new();
        supervisor.keep("test", || async { panic!("always") });
        assert!(supervisor.drained(Duration::from_secs(600)).await);
        assert!(supervisor.broken().is_cancelled());
    }
}
