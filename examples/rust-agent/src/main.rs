//! An agent at work, seen by otel-phi: `cargo run -- [--logs DIR] [--pipe] [--speed N]`.
//!
//! Two prompts, a continuation, tools (one fails), a sub-agent with a session of its own, and one question put to two models at
//! once. The model is phi-core's mock: no key, no network. What a phi-core user would copy is marked COPY.
mod scripted;
mod sub_agent;

use phi_core::*;
use scripted::{SPEED, Slow, calls, ms, says, scripted};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use sub_agent::{Callers, SubAgent};
use tokio::sync::mpsc::unbounded_channel;

#[tokio::main]
async fn main() {
    let (logs, pipe) = arguments();

    // COPY: the line that otel-phi needs is `with_event_log`, below. `otel-phi watch logs` does the rest.
    let log: Arc<dyn EventLog> = Arc::new(FileSystemEventLog::new(&logs));
    let (events, mut rx) = unbounded_channel();
    let callers = Callers::default();
    let researcher = SubAgent {
        name: "researcher",
        make: researcher,
        log: log.clone(),
        events: events.clone(),
        callers: callers.clone(),
    };
    let mut agent = coder(researcher).with_event_log(log.clone());
    let session = agent.session_id().to_string();
    eprintln!("session {session}, its log in {logs}");

    // COPY for --pipe: whoever reads the channel prints it, a line an event, as it comes. A reader that went away is no error.
    let reader = tokio::spawn(async move {
        while let Some(event) = rx.recv().await {
            callers.note(&event);
            if let (true, Ok(line)) = (pipe, serde_json::to_string(&event)) {
                writeln!(std::io::stdout(), "{line}").ok();
            }
        }
    });

    agent.prompt_with_sender("Why does the upload test fail?", events.clone()).await;
    tokio::time::sleep(ms(200)).await;
    agent.prompt_with_sender("Does anything else use backoff()?", events.clone()).await;
    // Each prompt is a loop of its own. To hang one under the loop before, continue that.
    agent.append_message(AgentMessage::Llm(LlmMessage::new(Message::user("Run the tests again."))));
    agent.continue_loop_with_sender(events.clone(), ContinuationKind::Default).await;

    // One question to two models at once, with a judge. Only the channel says that they belong together: see the README.
    let rivals =
        [("concise", 150, "Uploads retry faster."), ("thorough", 300, "Uploads retry after 100, 200 and 400 ms.")];
    let configs = rivals.map(|(name, after_ms, text)| {
        scripted("mock-small", after_ms, vec![says(text)]).with_config_id(name).with_event_log(log.clone())
    });
    let configs = configs.map(|rival| rival.build_config().expect("a BasicAgent has a model")).into();
    let judge = scripted("mock-judge", 100, vec![says("2")]).with_event_log(log.clone());
    let judge_config = judge.build_config().expect("a BasicAgent has a model");
    let judge = Arc::new(LlmJudgeEvaluation { judge_config, system_prompt: None });
    let base = AgentContext {
        agent_id: Some(agent.agent_id().into()),
        session_id: Some(session.clone()),
        ..Default::default()
    };
    let question = vec![AgentMessage::Llm(LlmMessage::new(Message::user("Sum up the change.")))];
    agent_loop_parallel(question, base, configs, judge, events.clone(), Default::default()).await;

    drop((agent, events)); // the last senders: the reader ends
    reader.await.ok();
    // COPY: the log writes behind the agent's back. Before the process ends, wait for it.
    log.flush(&session).await.ok();
}

/// The agent of the prompts. Replace `scripted(...)` by your own `BasicAgent`.
fn coder(researcher: SubAgent) -> BasicAgent {
    let script = vec![
        calls([("read_file", json!({"path": "src/upload.rs"})), ("run_tests", json!({}))]),
        calls([("researcher", json!({"task": "Who calls backoff()?"}))]),
        says("backoff() is in seconds, its callers expect milliseconds."),
        says("Yes, src/sync.rs does."),
        calls([("run_tests", json!({}))]),
        says("Still red: I have changed nothing yet."),
    ];
    scripted("mock-large", 400, script).with_system_prompt("You are a coding agent.").with_tools(vec![
        Arc::new(Slow("read_file", 80, Ok("fn backoff(n: u32) -> u64 { 2u64.pow(n) }"))),
        Arc::new(Slow("run_tests", 250, Err("retries_in_time failed"))),
        Arc::new(researcher),
    ])
}

fn researcher() -> BasicAgent {
    let script = vec![calls([("search", json!({"pattern": "backoff("}))]), says("src/upload.rs and src/sync.rs.")];
    let search = Slow("search", 100, Ok("src/upload.rs:41\nsrc/sync.rs:88"));
    scripted("mock-small", 200, script).with_system_prompt("You search code.").with_tools(vec![Arc::new(search)])
}

fn arguments() -> (String, bool) {
    let (mut logs, mut pipe) = ("logs".to_string(), false);
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--pipe" => pipe = true,
            "--logs" => logs = given.next().unwrap_or_else(|| usage()),
            "--speed" => {
                let speed = given.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                SPEED.store(speed.unwrap_or_else(|| usage()), Ordering::Relaxed);
            }
            _ => usage(),
        }
    }
    (logs, pipe)
}

fn usage() -> ! {
    eprintln!("usage: rust-agent [--logs DIR] [--pipe] [--speed N], N times as fast");
    std::process::exit(2)
}
