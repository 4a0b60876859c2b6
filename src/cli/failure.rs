//! How a command can fail, and the only place that knows exit codes.

use std::process::ExitCode;

use serde_json::json;

use crate::client::{ClientError, Lost, Problem};

/// How the process ends. The numbers are part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Not done, for a reason that none of the others names.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// What was asked for does not exist.
    NotFound,
    /// The key does not reach that far, or there is none.
    NotAllowed,
    /// No server answered, or it said that it cannot now (`EX_UNAVAILABLE` of sysexits.h).
    Unavailable,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::NotAllowed => 4,
            Exit::Unavailable => 69,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command was not done. The words are for the person at the terminal and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments make no sense together, or a value in them does not.
    #[error("{0}")]
    Usage(String),
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A live connection was refused or ended because of its token.
    #[error("{0}")]
    NotAllowed(String),
    /// A live connection was refused because the server is full.
    #[error("{0}")]
    Unavailable(String),
    /// The server could not be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Whoever read the output has seen enough, as `head` does: a good end.
    #[error("the reader of the output has gone")]
    PipeClosed,
}

impl Failure {
    /// How the process ends because of this.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Failed(_) => Exit::Failed,
            Failure::NotFound(_) => Exit::NotFound,
            Failure::NotAllowed(_) => Exit::NotAllowed,
            Failure::Unavailable(_) => Exit::Unavailable,
            Failure::Client(error) => exit_of(error),
            Failure::PipeClosed => Exit::Ok,
        }
    }

    /// The same as one line of JSON, for `--json`.
    pub fn to_json(&self) -> String {
        let mut body = match self {
            Failure::Client(ClientError::Refused(problem)) => json!({
                "status": problem.status,
                "code": problem.code,
                "title": problem.title,
                "detail": problem.detail,
                "errors": problem
                    .errors
                    .iter()
                    .map(|error| json!({ "field": error.field, "detail": error.detail }))
                    .collect::<Vec<_>>(),
                "retry_after_seconds": problem.retry_after_seconds,
            }),
            Failure::Usage(_) => json!({ "code": "usage", "detail": self.to_string() }),
            Failure::Client(ClientError::Unreachable { .. }) | Failure::Unavailable(_) => {
                json!({ "code": "unavailable", "detail": self.to_string() })
            }
            Failure::NotFound(_) => json!({ "code": "not_found", "detail": self.to_string() }),
            Failure::NotAllowed(_) => json!({ "code": "not_allowed", "detail": self.to_string() }),
            Failure::Client(ClientError::Unreadable { .. } | ClientError::Unusable(_))
            | Failure::Failed(_)
            | Failure::PipeClosed => {
                json!({ "code": "failed", "detail": self.to_string() })
            }
        };
        body["exit_code"] = json!(self.exit().code());
        body.to_string()
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Failure {
        match lost {
            Lost::Refused(error) => Failure::Client(error),
            Lost::Closed { code: 4500 | 4507, .. } => Failure::NotAllowed(lost.to_string()),
            // A full server, and whatever else would pass by itself.
            Lost::Closed { code: 4504, .. } | Lost::Broken(_) => Failure::Unavailable(lost.to_string()),
            Lost::Closed { .. } if !lost.is_final() => Failure::Unavailable(lost.to_string()),
            Lost::Closed { .. } | Lost::Odd(_) | Lost::GaveUp { .. } => Failure::Failed(lost.to_string()),
        }
    }
}

const fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::Unreachable { .. } => Exit::Unavailable,
        ClientError::Refused(problem) => exit_of_problem(problem),
        ClientError::Unreadable { .. } | ClientError::Unusable(_) => Exit::Failed,
    }
}

/// 502 and 504 are a proxy's way to say that the server is not there.
const fn exit_of_problem(problem: &Problem) -> Exit {
    match problem.status {
        404 => Exit::NotFound,
        401 | 403 => Exit::NotAllowed,
        502..=504 => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_becomes_the_exit_code_that_fits() {
        let exit = |code| Failure::from(Lost::Closed { code, reason: String::new() }).exit();
        assert_eq!(exit(4500), Exit::NotAllowed);
        assert_eq!(exit(4503), Exit::Failed);
        assert_eq!((exit(4504), exit(4001)), (Exit::Unavailable, Exit::Unavailable));
    }
}
