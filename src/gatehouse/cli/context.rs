//! What every subcommand gets: the global options, the configuration, and the way to a running server.

use super::{Exit, Failure, Output};
use crate::app::{
    Config,
    control::{Request, Unreachable, ask},
};
use gatehouse_base::config::Loaded;
use std::path::PathBuf;

/// The global options and where to write.
#[derive(Debug)]
pub struct Context {
    /// The configuration file that was named on the command line or in the environment.
    pub config: Option<PathBuf>,
    /// Where answers and remarks go.
    pub output: Output,
}

impl Context {
    /// The configuration file, named or by default.
    pub fn config_path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(Config::default_path)
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// It is missing, or has mistakes; all of them are in the message.
    pub fn load(&self) -> Result<Loaded<Config>, Failure> {
        let path = self.config_path();
        if !path.exists() {
            let failure = Failure::new(Exit::Config, format!("there is no configuration at {}", path.display()));
            return Err(failure.advise("`gatehouse init` makes one; `--config FILE` names one that lies elsewhere"));
        }
        Config::load(&path).map_err(|mistakes| Failure::new(Exit::Config, mistakes.to_string()))
    }

    /// Asks the running server. `None` when none runs, so that the command may open the store itself.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be talked to.
    pub fn ask_if_running<R: Request>(&self, config: &Config, request: &R) -> Result<Option<R::Answer>, Failure> {
        match ask(&config.control_socket, request) {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(Unreachable::NoServer { .. }) => Ok(None),
            Err(unreachable) => Err(unreachable.into()),
        }
    }

    /// Asks the running server, and fails when none runs.
    ///
    /// # Errors
    /// No server runs, its refusal, or that it cannot be talked to.
    pub fn ask<R: Request>(&self, config: &Config, request: &R) -> Result<R::Answer, Failure> {
        match self.ask_if_running(config, request)? {
            Some(answer) => Ok(answer),
            None => {
                Err(Failure::from(Unreachable::NoServer { path: config.control_socket.clone() }).advise("`gatehouse serve` starts one"))
            }
        }
    }

    /// Runs a future to its end on a runtime of its own, for commands that open the store or serve.
    ///
    /// # Errors
    /// The future's own failure, or that the runtime could not start.
    pub fn block_on<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| Failure::new(Exit::Failed, format!("the runtime could not start: {error}")))?.block_on(future)
    }
}
