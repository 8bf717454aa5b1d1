//! Runs the recorder of phi-core 0.10 over cases: one `{"flags": [...], "ops": [...]}` a line on stdin, one
//! `{"sessions": [...], "notes": [...], "hooks": [...]}` a line on stdout, in the form that tests/data/golden/README.md tells.
use phi_core_0_10::session::{Session, SessionRecorder, SessionRecorderConfig};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What a case came to: sorted sessions, what operations returned, which hooks were called.
fn outcome(case: &Value) -> Value {
    let flag = |name: &str| case["flags"].as_array().is_some_and(|flags| flags.iter().any(|one| one == name));
    let hooks = Arc::new(Mutex::new(Vec::<String>::new()));
    let (before, after) = (hooks.clone(), hooks.clone());
    let mut recorder = SessionRecorder::new(SessionRecorderConfig {
        include_streaming_events: flag("--streaming"),
        capture_turn_requests: flag("--capture"),
        before_task: Some(Arc::new(move |session: &Session| {
            let spawned = session.parent_spawn_ref.is_some();
            before.lock().unwrap().push(format!("before_task {} parent_spawn_ref={spawned}", session.session_id));
            true
        })),
        after_task: Some(Arc::new(move |session: &Session| {
            after.lock().unwrap().push(format!("after_task {}", session.session_id));
        })),
    });
    let mut notes = Vec::<String>::new();
    for op in case["ops"].as_array().expect("ops") {
        match op["op"].as_str() {
            Some("flush") => recorder.flush(),
            Some("checkpoint") => notes.push(format!("checkpoint={}", recorder.checkpoint())),
            Some("drain") => {
                let mut drained: Vec<(String, usize)> =
                    recorder.drain_completed().into_iter().map(|one| (one.session_id, one.loops.len())).collect();
                drained.sort();
                notes.push(format!("drained {}", json!(drained)));
            }
            Some("get") => {
                let id = op["id"].as_str().expect("id");
                let loops = recorder.get_session(id).map(|one| one.loops.iter().map(|it| it.loop_id.clone()).collect::<Vec<_>>());
                notes.push(format!("get {id} -> {loops:?}"));
            }
            Some(other) => panic!("no operation {other}"),
            None => match serde_json::from_value(op.clone()) {
                Ok(event) => recorder.on_event(event),
                Err(error) => notes.push(format!("PARSE ERROR {error}")),
            },
        }
    }
    let mut sessions: Vec<&Session> = recorder.sessions().collect();
    sessions.sort_by(|one, other| one.session_id.cmp(&other.session_id));
    let sessions = json!(sessions);
    let hooks = hooks.lock().unwrap();
    json!({"sessions": sessions, "notes": notes, "hooks": *hooks})
}

fn main() {
    for line in std::io::stdin().lines() {
        println!("{}", outcome(&serde_json::from_str(&line.expect("a line")).expect("a case")));
    }
}
