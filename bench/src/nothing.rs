//! A server that gives ingest's answer to a post, and does nothing for it: what ingest is compared with. The same door, the same
//! router, the same body extractor.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::post,
};
use clap::{Args, Command, FromArgMatches};
use sluice_service::{door::DoorArgs, http, nats::disk_sync::DiskSync};
use sluice_testbed::{
    Process,
    log_file::LogFile,
    ports::{Ports, loopback},
    process::Launch,
    ready::Ready,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until `stop`.
///
/// # Errors
/// Where the address is taken.
pub async fn serve(address: SocketAddr, stop: CancellationToken) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/person/{customer}", post(accept))
        .merge(http::health(|| async { http::Readiness::default() }, DiskSync::default()));
    // With the defaults that ingest has.
    let matches = DoorArgs::augment_args(Command::new("nothing")).get_matches_from(["nothing"]);
    let door = DoorArgs::from_arg_matches(&matches)?;
    door.serve(TcpListener::bind(address).await?, router, stop).await
}

async fn accept(Path(customer): Path<String>, _body: Bytes) -> impl IntoResponse {
    let location = format!("/person/{customer}/54043195528446976");
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::LOCATION, location)];
    (StatusCode::ACCEPTED, headers, "{\"success\":true,\"id\":\"54043195528446976\"}  \n")
}

/// Starts one as a process of its own, with its log in that folder; gives where it listens.
///
/// # Errors
/// Where it does not start.
pub async fn start(folder: &std::path::Path) -> anyhow::Result<(Process, SocketAddr)> {
    let listen = loopback(Ports::new(None).take("the server that does nothing")?);
    let launch = Launch {
        name: "nothing".to_owned(),
        program: std::env::current_exe()?,
        args: vec!["--listen".into(), listen.to_string().into()],
        env: Vec::new(),
        log: LogFile::new(folder, "nothing"),
        ready: Ready::Http(listen),
        own_group: true,
    };
    Ok((Process::start(launch).await?, listen))
}
