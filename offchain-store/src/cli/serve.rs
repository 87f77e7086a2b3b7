//! serve.

use super::{
    args::{Global, Serve},
    chain,
    failure::Failure,
    open,
    output::Output,
};
use crate::{
    engine::Access,
    serve::{Anchoring, Limits, Options, Schedule, Service, Token},
};
use serde::Serialize;
use std::{env::VarError, io, sync::Arc, time::Duration};
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use zeroize::Zeroizing;

/// Environment variable with the token that lets clients put.
const TOKEN_VARIABLE: &str = "PAKIT_TOKEN";

/// Blocking threads beside one for each connection and each question.
const THREADS_SPARE: usize = 16;
/// How long what reads the disk may go on when everybody has gone.
const LAST_READS: Duration = Duration::from_secs(1);

/// What is printed when clients can come.
#[derive(Serialize)]
struct Listening {
    listening: String,
    repository: String,
}

pub(super) fn serve(global: &Global, out: &Output, args: Serve) -> Result<(), Failure> {
    let options = options(&args);
    let (token, anchoring) = (token(&args)?, anchoring(global, &args)?);
    // Only who stores needs to be the one that writes.
    let access = if token.is_some() { Access::Write } else { Access::Read };
    let engine = Arc::new(open(global, access)?);
    let runtime = new_runtime(&options.limits).map_err(|error| no_threads(&error))?;
    let were_all_answered = runtime.block_on(async {
        let stop = Stop::new().map_err(|error| no_threads(&error))?;
        if !options.listen.ip().is_loopback() && options.allow_remote {
            eprintln!("pakit: warning: whoever reaches {} reads every content in this repository", options.listen);
        }
        let mut service = Service::bind(engine, token, options).await?;
        if let Some(anchoring) = anchoring {
            service = service.with_anchoring(anchoring);
        }
        let address = service.address().map_err(|error| no_threads(&error))?;
        let line = Listening { listening: format!("http://{address}"), repository: global.repo.display().to_string() };
        out.print(&line, || format!("listening on {}", line.listening))?;
        Ok::<_, Failure>(service.run(stop.wait()).await?)
    })?;
    runtime.shutdown_timeout(LAST_READS);
    if !were_all_answered {
        out.note("stopped; requests that did not end in time were cut");
    }
    Ok(())
}

/// The token that lets clients put, if there is one. A variable that is set to nothing is not.
fn token(args: &Serve) -> Result<Option<Token>, Failure> {
    let found = match (&args.token_file, std::env::var(TOKEN_VARIABLE)) {
        (Some(path), _) => Token::from_file(path)?,
        (None, Ok(secret)) if !secret.is_empty() => Token::new(&Zeroizing::new(secret))?,
        (None, Err(VarError::NotUnicode(_))) => {
            return Err(Failure::usage(format_args!("{TOKEN_VARIABLE} is not text")));
        }
        (None, _) => return Ok(None),
    };
    Ok(Some(found))
}

/// What anchors, where a schedule was given. A key that cannot be used shows now, and not at the first anchor.
fn anchoring(global: &Global, args: &Serve) -> Result<Option<Anchoring>, Failure> {
    let schedule = Schedule { every: args.anchor_every.map(Duration::from_millis), blocks: args.anchor_blocks };
    if schedule == Schedule::default() {
        return Ok(None);
    }
    let (key, config) = (chain::signing_key(&args.signing)?, chain::config(&args.signing));
    let (folder, url) = (global.repo.clone(), chain::named_url(&args.signing));
    Ok(Some(Anchoring { schedule, folder, url, key, config }))
}

fn options(args: &Serve) -> Options {
    let mut limits = Limits::default();
    limits.connections_max = args.limits.max_connections.into();
    limits.puts_max = args.limits.max_puts.into();
    limits.body_bytes_max = args.limits.max_body;
    limits.header_time = Duration::from_secs(args.limits.header_timeout);
    limits.answer_time = Duration::from_secs(args.limits.timeout);
    limits.stall_time = Duration::from_secs(args.limits.timeout);
    limits.shutdown_time = Duration::from_secs(args.limits.shutdown_timeout);
    Options { listen: args.listen, allow_remote: args.allow_remote, hosts: args.allow_host.clone(), limits }
}

/// Each content that is sent has a thread that reads it.
fn new_runtime(limits: &Limits) -> io::Result<Runtime> {
    let threads = limits.connections_max.saturating_add(limits.questions_max).saturating_add(THREADS_SPARE);
    runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(threads).thread_name("pakit-serve").build()
}

fn no_threads(error: &io::Error) -> Failure {
    Failure::environment(format_args!("the service cannot run: {error}"))
}

/// The signals that end a service.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("stopping");
    }
}
