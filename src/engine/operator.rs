//! Asking a person while a task goes on holding its drive.

use super::error::OperatorRequest;

/// Is asked when a task needs a certain cartridge in its drive. Without one the task ends with
/// [`super::EngineError::Operator`].
pub trait Operator: Send + Sync {
    /// Waits until it is worth looking again (true), or until nobody will help (false). `is_there` asks the devices, quickly,
    /// whether a cartridge has come.
    fn ask(&self, request: &OperatorRequest, is_there: &mut dyn FnMut() -> bool) -> bool;
}
