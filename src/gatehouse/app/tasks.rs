//! The process's tasks: each has a name, an owner, and somebody who waits for it.

use std::collections::HashMap;
use tokio::task::{Id, JoinSet};

/// A task ended with a panic. The others cannot be trusted to get along without it.
#[derive(Debug, thiserror::Error)]
#[error("the task `{name}` failed: {reason}")]
pub struct TaskFailed {
    /// The task's name.
    pub name: String,
    /// What it said.
    pub reason: String,
}

/// Tasks that run until their work is done. Dropping the set ends them.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Tasks {
    /// Starts a task.
    pub(super) fn start(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name.into());
    }

    /// Waits for the next task to end. `None` when none is left.
    pub(super) async fn ended(&mut self) -> Option<Result<String, TaskFailed>> {
        match self.running.join_next_with_id().await? {
            Ok((id, ())) => Some(Ok(self.names.remove(&id).unwrap_or_default())),
            Err(error) => {
                let name = self.names.remove(&error.id()).unwrap_or_default();
                Some(Err(TaskFailed { name, reason: error.to_string() }))
            }
        }
    }

    /// The names of the tasks that run.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.names.values().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_is_named() {
        let mut tasks = Tasks::default();
        tasks.start("good", async {});
        assert_eq!(tasks.ended().await.expect("one task").expect("it ends well"), "good");
        tasks.start("bad", async { panic!("out of cheese") });
        let failed = tasks.ended().await.expect("one task").expect_err("it fails");
        assert_eq!(failed.name, "bad");
        assert!(failed.reason.contains("out of cheese"), "{failed}");
        assert!(tasks.ended().await.is_none());
    }
}
