//! Processes beside a fleet's own: a second directory, a writer in another mode.

use std::ffi::OsString;

use crate::{
    Fleet, NatsUser, Process,
    ports::{Ports, loopback},
    process::Launch,
};

impl Fleet {
    /// Starts one of our programs (that of the user's name) beside the fleet's own, on a free port, with the fleet's settings and
    /// these; gives its URL too. It ends when it is dropped, which has to be before the fleet.
    ///
    /// # Errors
    /// Where it does not become ready: with the last lines of its log.
    pub async fn start_further(
        &self,
        name: &str,
        user: NatsUser,
        args: &[&str],
        env: &[(&'static str, String)],
    ) -> anyhow::Result<(Process, String)> {
        let launch = self.further(name, user, args, env)?;
        let url = format!("http://{}", launch.1);
        Ok((Process::start(launch.0).await?, url))
    }

    /// How such a process would be started, and where it would listen.
    ///
    /// # Errors
    /// Where there is no free port.
    pub fn further(
        &self,
        name: &str,
        user: NatsUser,
        args: &[&str],
        env: &[(&'static str, String)],
    ) -> anyhow::Result<(Launch, std::net::SocketAddr)> {
        let listen = loopback(Ports::new(None).take(name)?);
        let mut launch = self.parts().launch(name, user, args, listen);
        // Of two settings of one name the later counts.
        launch.env.extend(env.iter().map(|(name, value)| (*name, value.clone().into())));
        debug_assert!(launch.args.contains(&OsString::from("--listen")));
        Ok((launch, listen))
    }
}
