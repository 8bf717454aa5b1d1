//! COPY this file: a sub-agent whose work is seen.
//!
//! phi-core's own `SubAgentTool` runs its child without an event log and keeps the child's events to itself. This one gives the
//! child the log and the channel of its parent, and says which loop asked for it. In the backend the child's session is a trace
//! of its own, linked both ways with the tool call that started it.
use async_trait::async_trait;
use phi_core::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Which loop made a tool call: the tool is not told, but the events say it.
#[derive(Clone, Default)]
pub struct Callers(Arc<watch::Sender<HashMap<String, String>>>);

impl Callers {
    /// For whoever reads the parent's channel: show it every event as it comes.
    pub fn note(&self, event: &AgentEvent) {
        if let AgentEvent::ToolExecutionStart { loop_id, tool_call_id, .. } = event {
            self.0.send_modify(|calls| drop(calls.insert(tool_call_id.clone(), loop_id.clone())));
        } else if let AgentEvent::ToolExecutionEnd { tool_call_id, .. } = event {
            self.0.send_modify(|calls| drop(calls.remove(tool_call_id)));
        }
    }

    /// For the tool. The events are a moment behind the loop: waits for them, but not for ever.
    async fn loop_of(&self, call: &str) -> Option<String> {
        let mut calls = self.0.subscribe();
        let seen = calls.wait_for(|calls| calls.contains_key(call));
        tokio::time::timeout(Duration::from_secs(1), seen).await.ok()?.ok()?.get(call).cloned()
    }
}

pub struct SubAgent {
    pub name: &'static str,
    /// Makes the child: its model, tools and system prompt.
    pub make: fn() -> BasicAgent,
    /// The parent's event log.
    pub log: Arc<dyn EventLog>,
    /// The parent's channel: whoever prints or shows the parent's events sees the child's too.
    pub events: mpsc::UnboundedSender<AgentEvent>,
    pub callers: Callers,
}

#[async_trait]
impl AgentTool for SubAgent {
    fn name(&self) -> &str {
        self.name
    }
    fn label(&self) -> &str {
        self.name
    }
    fn description(&self) -> &str {
        "Delegates a task."
    }
    fn parameters_schema(&self) -> Value {
        json!({"type": "object", "properties": {"task": {"type": "string"}}, "required": ["task"]})
    }

    async fn execute(&self, args: Value, tool: ToolContext) -> Result<ToolResult, ToolError> {
        // 1. The child writes to the parent's log: into a file of its own, {session}.events.jsonl.
        let child = (self.make)().with_event_log(self.log.clone());
        let mut config = child.build_config().map_err(|e| ToolError::Failed(e.to_string()))?;
        config.first_turn_trigger = TurnTrigger::SubAgent;

        // 2. It has a session of its own, and says which loop is its parent.
        let session = child.session_id().to_string();
        let mut context = AgentContext {
            system_prompt: child.system_prompt().into(),
            tools: child.tools().to_vec(),
            agent_id: Some(child.agent_id().into()),
            session_id: Some(session.clone()),
            loop_id: Some(format!("{session}.sub.1")),
            parent_loop_id: self.callers.loop_of(&tool.tool_call_id).await,
            ..Default::default()
        };

        // 3. It runs. Its events go the parent's way, and are out before this tool ends.
        let (tx, mut rx) = mpsc::unbounded_channel();
        let events = self.events.clone();
        let pump = tokio::spawn(async move {
            while let Some(event) = rx.recv().await {
                events.send(event).ok();
            }
        });
        let task = Message::user(args["task"].as_str().unwrap_or_default());
        let task = vec![AgentMessage::Llm(LlmMessage::new(task))];
        let said = agent_loop(task, &mut context, &config, tx, tool.cancel).await;
        pump.await.ok();
        self.log.flush(&session).await.ok();

        // 4. The result names the child's loop: the parent's end of the link.
        let Some(Message::Assistant { content, .. }) = said.last().and_then(|m| m.as_llm()) else {
            return Err(ToolError::Failed("the sub-agent gave no answer".into()));
        };
        let details = json!({"sub_agent": self.name});
        Ok(ToolResult { content: content.clone(), details, child_loop_id: context.loop_id })
    }
}
