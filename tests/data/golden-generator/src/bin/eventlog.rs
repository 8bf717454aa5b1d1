//! Prints what phi-core >= 0.14 writes through its durable event log, from real agents on a mock provider.
//! `eventlog live DIR` runs the scenarios; `eventlog fold` runs phi-core's own recorder over cases on stdin, in the form of
//! `recorder_cases.jsonl` (flags and ops), and prints its sessions, one array a line.
use async_trait::async_trait;
use phi_core::agent_loop::{agent_loop, agent_loop_parallel};
use phi_core::agents::{Agent, SubAgentTool};
use phi_core::provider::mock::*;
use phi_core::provider::{MockProvider, ModelConfig, StreamProvider};
use phi_core::session::*;
use phi_core::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

struct Sleepy(&'static str, u64, bool);
#[async_trait]
impl AgentTool for Sleepy {
    fn name(&self) -> &str { self.0 }
    fn label(&self) -> &str { self.0 }
    fn description(&self) -> &str { "sleeps, then answers" }
    fn parameters_schema(&self) -> serde_json::Value { serde_json::json!({"type":"object","properties":{}}) }
    async fn execute(&self, p: serde_json::Value, ctx: ToolContext) -> Result<ToolResult, ToolError> {
        if let Some(f) = &ctx.on_progress { f(format!("{} working", self.0)); }
        tokio::time::sleep(Duration::from_millis(self.1)).await;
        if self.2 { return Err(ToolError::Failed(format!("{} broke", self.0))); }
        Ok(ToolResult { content: vec![Content::Text { text: format!("{} done with {p}", self.0) }], details: serde_json::Value::Null, child_loop_id: None })
    }
}

/// A sub-agent that keeps its own event log, so that its session can be seen (the stock SubAgentTool keeps none).
struct Spawn { log: Arc<dyn EventLog>, parent_loop: Arc<Mutex<Option<String>>> }
#[async_trait]
impl AgentTool for Spawn {
    fn name(&self) -> &str { "researcher" }
    fn label(&self) -> &str { "researcher" }
    fn description(&self) -> &str { "delegates a task" }
    fn parameters_schema(&self) -> serde_json::Value { serde_json::json!({"type":"object","properties":{"task":{"type":"string"}}}) }
    async fn execute(&self, p: serde_json::Value, _ctx: ToolContext) -> Result<ToolResult, ToolError> {
        let sid = uuid::Uuid::new_v4().to_string();
        let lid = format!("{sid}.sub.1");
        let provider: Arc<dyn StreamProvider> = Arc::new(MockProvider::new(vec![
            MockResponse::ToolCalls(vec![MockToolCall { name: "grep".into(), arguments: serde_json::json!({"q":"needle"}) }]),
            MockResponse::Text("found it in three places".into()),
        ]).with_delay(Duration::from_millis(30)));
        let mut agent = BasicAgent::new(ModelConfig::anthropic("mock-small", "Mock Small", "k"))
            .with_provider_override(provider).with_session_id(sid.clone())
            .with_tools(vec![Arc::new(Sleepy("grep", 15, false))]).with_event_log(self.log.clone());
        let cfg = agent.build_config().map_err(|e| ToolError::Failed(format!("{e:?}")))?;
        let _ = &mut agent;
        let mut ctx = AgentContext { session_id: Some(sid), loop_id: Some(lid.clone()), parent_loop_id: self.parent_loop.lock().unwrap().clone(),
            tools: agent.tools().to_vec(), ..AgentContext::default() };
        let (tx, mut rx) = mpsc::unbounded_channel();
        let task = p["task"].as_str().unwrap_or("search").to_string();
        agent_loop(vec![AgentMessage::Llm(LlmMessage::new(Message::user(task)))], &mut ctx, &cfg, tx, Default::default()).await;
        while rx.recv().await.is_some() {}
        Ok(ToolResult { content: vec![Content::Text { text: "found it".into() }], details: serde_json::json!({"sub_agent":"researcher"}), child_loop_id: Some(lid) })
    }
}

fn call(n: &str, a: serde_json::Value) -> MockToolCall { MockToolCall { name: n.into(), arguments: a } }

async fn drive(agent: &mut BasicAgent, text: &str, seen: &mut Vec<AgentEvent>, slot: Option<Arc<Mutex<Option<String>>>>) {
    let (tx, mut rx) = mpsc::unbounded_channel();
    let collect = tokio::spawn(async move { let mut v = vec![]; while let Some(e) = rx.recv().await {
        if let (AgentEvent::AgentStart { loop_id, .. }, Some(s)) = (&e, &slot) { *s.lock().unwrap() = Some(loop_id.clone()); }
        v.push(e); } v });
    agent.prompt_messages_with_sender(vec![AgentMessage::Llm(LlmMessage::new(Message::user(text)))], tx).await;
    seen.extend(collect.await.unwrap());
}

async fn live(dir: &str) {
    let logdir = format!("{dir}/logs");
    let log: Arc<dyn EventLog> = Arc::new(FileSystemEventLog::new(&logdir));
    let slot = Arc::new(Mutex::new(None));
    let mut seen = vec![];
    let provider: Arc<dyn StreamProvider> = Arc::new(MockProvider::new(vec![
        MockResponse::ToolCalls(vec![call("read_file", serde_json::json!({"path":"a.rs"})), call("flaky", serde_json::json!({}))]),
        MockResponse::ToolCalls(vec![call("researcher", serde_json::json!({"task":"find the needle"}))]),
        MockResponse::Text("here is what I found".into()),
        MockResponse::Text("second answer".into()),
    ]).with_delay(Duration::from_millis(60)));
    let mut agent = BasicAgent::new(ModelConfig::anthropic("mock-large", "Mock Large", "k"))
        .with_provider_override(provider).with_system_prompt("You are a coding agent.")
        .with_session_id("6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a01")
        .with_tools(vec![Arc::new(Sleepy("read_file", 40, false)), Arc::new(Sleepy("flaky", 20, true)), Arc::new(Spawn { log: log.clone(), parent_loop: slot.clone() })])
        .with_event_log(log.clone());
    drive(&mut agent, "What does a.rs do?", &mut seen, Some(slot.clone())).await;
    drive(&mut agent, "And b.rs?", &mut seen, None).await;
    // the same session taken up by a new process: ordinals start again at 1 in the same file
    let log2: Arc<dyn EventLog> = Arc::new(FileSystemEventLog::new(&logdir));
    let mut again = BasicAgent::new(ModelConfig::anthropic("mock-large", "Mock Large", "k"))
        .with_provider_override(Arc::new(MockProvider::text("back again").with_delay(Duration::from_millis(20))))
        .with_session_id("6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a01").with_event_log(log2.clone());
    drive(&mut again, "Are you still there?", &mut seen, None).await;
    // stock sub-agent: its own events are not in any log
    let sub = SubAgentTool::new("stock_sub", ModelConfig::anthropic("mock-small", "Mock Small", "k"))
        .with_provider_override(Arc::new(MockProvider::text("sub answer").with_delay(Duration::from_millis(10))));
    let mut boss = BasicAgent::new(ModelConfig::anthropic("mock-large", "Mock Large", "k"))
        .with_provider_override(Arc::new(MockProvider::new(vec![
            MockResponse::ToolCalls(vec![call("stock_sub", serde_json::json!({"task":"t"}))]), MockResponse::Text("ok".into())])))
        .with_session_id("6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a02").with_sub_agent(sub).with_event_log(log.clone());
    drive(&mut boss, "delegate", &mut seen, None).await;
    // parallel: one session, branches teed each
    let base = AgentContext { session_id: Some("6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a03".into()), ..AgentContext::default() };
    let mk = |m: &str| BasicAgent::new(ModelConfig::anthropic(m, m, "k")).with_provider_override(Arc::new(MockProvider::text("branch answer").with_delay(Duration::from_millis(25))))
        .with_event_log(log.clone()).build_config().unwrap();
    let (tx, mut rx) = mpsc::unbounded_channel();
    let h = tokio::spawn(async move { let mut v = vec![]; while let Some(e) = rx.recv().await { v.push(e); } v });
    agent_loop_parallel(vec![AgentMessage::Llm(LlmMessage::new(Message::user("race")))], base, vec![mk("mock-a"), mk("mock-b")],
        Arc::new(phi_core::agent_loop::evaluation::TokenEfficientEvaluation), tx, Default::default()).await;
    seen.extend(h.await.unwrap());
    for s in ["01","02","03"] { log.flush(&format!("6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a{s}")).await.unwrap(); log2.flush(&format!("6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a{s}")).await.unwrap(); }
    let mut f = String::new();
    for e in &seen { f += &serde_json::to_string(e).unwrap(); f.push('\n'); }
    std::fs::write(format!("{dir}/channel.events.jsonl"), f).unwrap();
}


/// stdin: one {"flags": [...], "ops": [...]} a line; stdout: the recorder's sessions after each, one array a line.
fn fold() {
    for line in std::io::stdin().lines() {
        let case: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let capture = case["flags"].as_array().map_or(false, |f| f.iter().any(|x| x == "--capture"));
        let mut rec = SessionRecorder::new(SessionRecorderConfig { capture_turn_requests: capture, ..Default::default() });
        let mut drained: Vec<Session> = vec![];
        for op in case["ops"].as_array().unwrap() {
            match op["op"].as_str() {
                Some("flush") => rec.flush(),
                Some("checkpoint") => { rec.checkpoint(); }
                Some("drain") => drained.extend(rec.drain_completed()),
                Some(_) => {}
                None => { let e = if op.get("ordinal").is_some() { op["event"].clone() } else { op.clone() };
                    if let Ok(e) = serde_json::from_value(e) { rec.on_event(e) } }
            }
        }
        let mut s: Vec<&Session> = rec.sessions().chain(drained.iter()).collect();
        s.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        println!("{}", serde_json::to_string(&s).unwrap());
    }
}

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() { Some("live") => live(&std::env::args().nth(2).unwrap()).await, _ => fold() }
}
