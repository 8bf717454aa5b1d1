//! Plays one coding-agent session with the real phi-core on a scripted model (no network) and prints every event, one JSON
//! line each, as it appears on the channel: `demo LOGDIR > demo.jsonl`. The same events go to LOGDIR through phi-core's own
//! `FileSystemEventLog`. The session: a prompt with parallel tools, a tool that fails, a sub-agent with a session of its own
//! and an in-run compaction; a second prompt; the same question put to two models at once, with a judge.
use async_trait::async_trait;
use phi_core::context::TokenCounter;
use phi_core::provider::{ModelConfig, ProviderError, StreamConfig, StreamEvent, StreamProvider};
use phi_core::*;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const SESSION: &str = "3f9a1c7e-5b42-4d0e-8c61-92d7e4ab10f5";
const CHILD_SESSION: &str = "b70c25d8-1e94-4f3a-a6d2-58c90b7f4e13";
const SONNET: (&str, &str) = ("claude-sonnet-4-5", "Claude Sonnet 4.5");
const HAIKU: (&str, &str) = ("claude-haiku-4-5", "Claude Haiku 4.5");

async fn pause(ms: u64) { tokio::time::sleep(std::time::Duration::from_millis(ms)).await }
fn user(text: &str) -> Vec<AgentMessage> { vec![AgentMessage::Llm(LlmMessage::new(Message::user(text)))] }

/// What the model says in one turn: after how many ms, tokens (input, output, cache read, cache write), text, tool calls.
type Reply = (u64, [u64; 4], &'static str, Vec<(&'static str, Value)>);

/// A model that plays a script. Unlike phi-core's MockProvider it reports tokens, and the name of the configured model.
struct Script(Mutex<VecDeque<Reply>>);
#[async_trait]
impl StreamProvider for Script {
    fn provider_id(&self) -> &str { "script" }
    async fn stream(
        &self, cfg: StreamConfig, tx: UnboundedSender<StreamEvent>, _: tokio_util::sync::CancellationToken,
    ) -> Result<Message, ProviderError> {
        let (ms, tokens, text, calls) = self.0.lock().unwrap().pop_front().expect("a script with one more turn");
        let [input, output, cache_read, cache_write] = tokens;
        pause(ms).await;
        tx.send(StreamEvent::Start).ok();
        if calls.is_empty() { tx.send(StreamEvent::TextDelta { content_index: 0, delta: text.into() }).ok(); }
        let mut content = vec![Content::Text { text: text.into() }];
        for (name, arguments) in calls {
            let id = format!("toolu_01{}", &uuid::Uuid::new_v4().simple().to_string()[..22]);
            content.push(Content::ToolCall { id, name: name.into(), arguments });
        }
        let stop_reason = if content.len() > 1 { StopReason::ToolUse } else { StopReason::Stop };
        let message = Message::Assistant {
            stop_reason, content, model: cfg.model_config.id, provider: cfg.model_config.provider, timestamp: now_ms(),
            usage: Usage { input, output, cache_read, cache_write, ..Default::default() }, error_message: None,
        };
        tx.send(StreamEvent::Done { message: message.clone() }).ok();
        Ok(message)
    }
}

fn schema(arg: &str) -> Value { json!({"type": "object", "properties": {arg: {"type": "string"}}, "required": [arg]}) }

type Outcome = (u64, Result<&'static str, &'static str>);
/// A tool that plays a script: each call takes some milliseconds and gives the next result.
struct Canned(&'static str, &'static str, &'static str, Mutex<VecDeque<Outcome>>);
#[async_trait]
impl AgentTool for Canned {
    fn name(&self) -> &str { self.0 }
    fn label(&self) -> &str { self.0 }
    fn description(&self) -> &str { self.1 }
    fn parameters_schema(&self) -> Value { schema(self.2) }
    async fn execute(&self, params: Value, ctx: ToolContext) -> Result<ToolResult, ToolError> {
        let (ms, outcome) = self.3.lock().unwrap().pop_front().expect("a script with one more call");
        if let (Some(say), Some(command)) = (&ctx.on_progress, params["command"].as_str()) { say(format!("$ {command}")) }
        pause(ms).await;
        let text = outcome.map_err(|e| ToolError::Failed(e.into()))?;
        let code = text.strip_prefix("Exit code: ").and_then(|rest| rest[..1].parse::<i32>().ok());
        let details = code.map_or(Value::Null, |c| json!({"exit_code": c, "success": c == 0}));
        Ok(ToolResult { content: vec![Content::Text { text: text.into() }], details, child_loop_id: None })
    }
}

fn canned(name: &'static str, about: &'static str, arg: &'static str, script: Vec<Outcome>) -> Arc<dyn AgentTool> {
    Arc::new(Canned(name, about, arg, Mutex::new(script.into())))
}

/// A sub-agent whose events are seen: it has its own session, names the loop that called it as its parent, and sends its events
/// to the same channel and the same log (phi-core's SubAgentTool keeps them to itself).
struct Researcher { log: Arc<dyn EventLog>, out: UnboundedSender<AgentEvent>, caller: Arc<Mutex<Option<String>>> }
#[async_trait]
impl AgentTool for Researcher {
    fn name(&self) -> &str { "researcher" }
    fn label(&self) -> &str { "Researcher" }
    fn description(&self) -> &str { "Delegate a question about the code." }
    fn parameters_schema(&self) -> Value { schema("task") }
    async fn execute(&self, params: Value, ctx: ToolContext) -> Result<ToolResult, ToolError> {
        pause(12).await;
        let agent = agent(HAIKU, &self.log, vec![
            (250, [1284, 64, 0, 0], "Searching.", vec![("search", json!({"pattern": "backoff("}))]),
            (220, [1436, 88, 0, 0], "src/upload.rs:41 and src/sync.rs:88; both in milliseconds.", vec![]),
        ]);
        let mut config = agent.build_config().map_err(|e| ToolError::Failed(e.to_string()))?;
        config.first_turn_trigger = TurnTrigger::SubAgent;
        let mut context = AgentContext {
            system_prompt: "You search code.".into(), agent_id: Some(agent.agent_id().into()), session_id: Some(CHILD_SESSION.into()),
            loop_id: Some(format!("{CHILD_SESSION}.sub.1")), parent_loop_id: self.caller.lock().unwrap().clone(),
            tools: vec![canned("search", "Search files.", "pattern", vec![(85, Ok("src/upload.rs:41\nsrc/sync.rs:88"))])], ..Default::default()
        };
        let (out, (tx, mut rx)) = (self.out.clone(), unbounded_channel());
        let pump = tokio::spawn(async move { while let Some(e) = rx.recv().await { out.send(e).ok(); } });
        let said = agent_loop(user(params["task"].as_str().unwrap_or_default()), &mut context, &config, tx, ctx.cancel).await;
        pump.await.ok(); // all of the child's events are out before this tool ends
        let Some(Message::Assistant { content, .. }) = said.last().and_then(|m| m.as_llm()) else { panic!("no answer") };
        Ok(ToolResult { content: content.clone(), details: json!({"sub_agent": "researcher"}), child_loop_id: context.loop_id })
    }
}

/// Compaction as with a model that writes the summary: phi-core's default, but slow.
struct SlowSummary;
#[async_trait]
impl BlockCompactionStrategy for SlowSummary {
    async fn keep_first(&self, r: &LoopRecord, t: &TurnMap, c: &CompactionConfig) -> Option<TurnRange> {
        DefaultBlockCompaction.keep_first(r, t, c).await
    }
    async fn keep_recent(&self, r: &LoopRecord, t: &TurnMap, c: &CompactionConfig) -> Option<CompactedSection> {
        DefaultBlockCompaction.keep_recent(r, t, c).await
    }
    async fn keep_compacted(&self, r: &LoopRecord, t: &TurnMap, c: &CompactionConfig, last: bool) -> Option<CompactedSection> {
        pause(150).await;
        DefaultBlockCompaction.keep_compacted(r, t, c, last).await
    }
}

/// The demo's texts are short: count them as if they were as long as real files, so that the window fills up.
struct LongTexts;
impl TokenCounter for LongTexts { fn estimate_text(&self, text: &str) -> usize { text.len() * 23 } }

fn agent((id, name): (&str, &str), log: &Arc<dyn EventLog>, script: Vec<Reply>) -> BasicAgent {
    let model = Arc::new(Script(Mutex::new(script.into())));
    BasicAgent::new(ModelConfig::anthropic(id, name, "no-key")).with_provider_override(model).with_event_log(log.clone())
}

/// The agent of the two prompts, with a window so small that the third turn compacts.
fn coder(log: &Arc<dyn EventLog>, tools: Vec<Arc<dyn AgentTool>>) -> BasicAgent {
    let now = chrono::Utc::now();
    agent(SONNET, log, vec![
        (510, [4, 212, 0, 5180], "I'll read the code and run the test.", vec![
            ("read_file", json!({"path": "src/upload.rs"})), ("bash", json!({"command": "cargo test retries"}))]),
        (400, [6, 187, 5180, 5940], "The delays add up. I'll lower the base and check who else uses it.", vec![
            ("edit_file", json!({"path": "src/upload.rs", "old_text": "500 * 2.pow(n)", "new_text": "100 * 2.pow(n)"})),
            ("researcher", json!({"task": "Who calls backoff(), and in which unit?"}))]),
        (340, [6, 164, 4310, 4120], "Again, with the exact text.", vec![
            ("edit_file", json!({"path": "src/upload.rs", "old_text": "500 *", "new_text": "100 *"}))]),
        (280, [7, 96, 8430, 412], "Fixed: backoff() now starts at 100 ms.", vec![]),
        (310, [12, 71, 8842, 166], "Yes: src/sync.rs calls it too, and also expects milliseconds.", vec![]),
    ])
    .with_session_id(SESSION).with_system_prompt("You are a coding agent.").with_tools(tools)
    .with_session(Session {
        session_id: SESSION.into(), agent_id: "".into(), created_at: now, last_active_at: now, parent_spawn_ref: None, loops: vec![],
        formation: SessionFormation::Explicit { timestamp: now }, scope: SessionScope::Ephemeral })
    .with_context_config(ContextConfig {
        max_context_tokens: 20_000, system_prompt_tokens: 2_000, token_counter: Some(Arc::new(LongTexts)),
        compaction: CompactionConfig { keep_first_turns: 1, keep_recent_turns: 1, ..Default::default() }, ..Default::default() })
    .with_block_compaction_strategy(SlowSummary)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let log: Arc<dyn EventLog> = Arc::new(FileSystemEventLog::new(std::env::args().nth(1).expect("usage: demo LOGDIR > demo.jsonl")));
    let (out, mut rx) = unbounded_channel::<AgentEvent>();
    let caller = Arc::new(Mutex::new(None));
    let current = caller.clone();
    let printer = tokio::spawn(async move {
        while let Some(e) = rx.recv().await {
            println!("{}", serde_json::to_string(&e).unwrap());
            let AgentEvent::AgentStart { session_id, loop_id, .. } = e else { continue };
            if session_id == SESSION { current.lock().unwrap().replace(loop_id); }
        }
    });
    let bash = canned("bash", "Run a command.", "command", vec![
        (270, Ok("Exit code: 1\nretries_in_time ... FAILED\ntook 3.5 s, the limit is 2 s (tests/upload.rs:12)\n13 passed; 1 failed (upload)")),
        (60, Ok("Exit code: 0\nsrc/upload.rs | 2 +-"))]);
    let read = canned("read_file", "Read a file.", "path", vec![(70, Ok("fn backoff(n: u32) -> u64 {\n    500 * 2u64.pow(n)\n}"))]);
    let edit = canned("edit_file", "Replace text in a file.", "path", vec![
        (45, Err("old_text not found in src/upload.rs.")), (40, Ok("Edited src/upload.rs"))]);
    let mut coder = coder(&log, vec![read, bash.clone(), edit, Arc::new(Researcher { log: log.clone(), out: out.clone(), caller })]);
    coder.prompt_with_sender("The test retries_in_time fails. Please fix it.", out.clone()).await;
    pause(60).await;
    coder.prompt_with_sender("Does anything else use backoff()?", out.clone()).await;
    pause(50).await;
    let branches = [
        agent(HAIKU, &log, vec![(330, [812, 46, 0, 0], "Uploads retry faster.", vec![])]).with_config_id("concise"),
        agent(SONNET, &log, vec![
            (250, [846, 82, 0, 0], "Let me see the diff.", vec![("bash", json!({"command": "git diff --stat"}))]),
            (240, [1012, 131, 0, 0], "Uploads retry after 100, 200 and 400 ms (was 500, 1000, 2000).", vec![]),
        ]).with_config_id("thorough")];
    let judge_config = agent(HAIKU, &log, vec![(210, [342, 4, 0, 0], "2", vec![])]).build_config().unwrap();
    let base = AgentContext {
        system_prompt: "You write release notes.".into(), tools: vec![bash], agent_id: Some(coder.agent_id().into()),
        session_id: Some(SESSION.into()), ..Default::default() };
    let configs = branches.map(|a| a.build_config().unwrap()).into();
    let judge = Arc::new(LlmJudgeEvaluation { judge_config, system_prompt: None });
    agent_loop_parallel(user("One sentence on the last change."), base, configs, judge, out.clone(), Default::default()).await;
    drop((coder, out)); // the last senders: the printer ends
    printer.await.unwrap();
    for id in [SESSION, CHILD_SESSION] { log.flush(id).await.unwrap() }
}
