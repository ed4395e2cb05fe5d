//! What a command prints: its report on standard output, everything else on standard error.
//!
//! The reader of either may go away at any moment (`.. | head`). That is no error: the command
//! finishes what it does, and exits as it would have otherwise. `println!` would panic there, and is
//! refused by a lint.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// Writes a line to standard output. A reader that went away is no error.
///
/// # Errors
/// Where it cannot be written for another reason, such as a full disk.
pub fn line(text: impl Display) -> io::Result<()> {
    let written = write_line(&mut io::stdout().lock(), &text);
    written.map_err(|error| io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
}

/// `println!` for commands: [`line`] with a format.
#[macro_export]
macro_rules! outln {
    ($($arg:tt)*) => { $crate::output::line(format_args!($($arg)*)) };
}

/// Writes a line to standard error, if that is possible.
pub fn note(text: impl Display) {
    // There is no other place to say so.
    let _ = write_line(&mut io::stderr().lock(), &text);
}

/// Says in one line why a program could not do its work, and returns the exit status 1.
pub fn failure(program: &str, error: &anyhow::Error) -> ExitCode {
    note(format_args!("{program}: {}", one_line(error)));
    ExitCode::FAILURE
}

/// Returns an error and what caused it as one line, without a backtrace.
pub fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn write_line(to: &mut impl Write, text: &impl Display) -> io::Result<()> {
    // In one piece: lines of several processes at one terminal do not mix.
    let line = format!("{text}\n");
    match to.write_all(line.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is_one() {
        assert!(write_line(&mut Failing(ErrorKind::BrokenPipe), &"text").is_ok());
        assert!(write_line(&mut Failing(ErrorKind::StorageFull), &"text").is_err());
        let mut written = Vec::new();
        write_line(&mut written, &"text").unwrap();
        assert_eq!(written, b"text\n");
    }

    #[test]
    fn an_error_is_one_line_with_all_its_causes() {
        let cause = anyhow::anyhow!("line 3 is wrong:\n  x = \r\n\n  ^ here");
        let error = cause.context("cannot read the file");
        assert_eq!(one_line(&error), "cannot read the file: line 3 is wrong:; x =; ^ here");
    }
}
