//! Stands for your models and tools: phi-core's mock provider and tools that take their time. Nothing to copy here.
use async_trait::async_trait;
use phi_core::provider::mock::{MockResponse, MockToolCall};
use phi_core::provider::{MockProvider, ModelConfig};
use phi_core::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `--speed N`: everything takes an Nth of its time.
pub static SPEED: AtomicU64 = AtomicU64::new(1);

pub fn ms(ms: u64) -> Duration {
    Duration::from_micros(ms * 1000 / SPEED.load(Ordering::Relaxed))
}

pub fn says(text: &str) -> MockResponse {
    MockResponse::Text(text.into())
}

pub fn calls<const N: usize>(tools: [(&str, Value); N]) -> MockResponse {
    MockResponse::ToolCalls(tools.map(|(name, arguments)| MockToolCall { name: name.into(), arguments }).into())
}

/// An agent whose model says these things, one a turn, each after so many milliseconds.
pub fn scripted(model: &str, after_ms: u64, script: Vec<MockResponse>) -> BasicAgent {
    BasicAgent::new(ModelConfig::anthropic(model, model, "no key needed"))
        .with_provider_override(Arc::new(MockProvider::new(script).with_delay(ms(after_ms))))
}

/// A tool that takes some milliseconds and then gives its result, the same each time.
pub struct Slow(pub &'static str, pub u64, pub Result<&'static str, &'static str>);

#[async_trait]
impl AgentTool for Slow {
    fn name(&self) -> &str {
        self.0
    }
    fn label(&self) -> &str {
        self.0
    }
    fn description(&self) -> &str {
        "Takes its time."
    }
    fn parameters_schema(&self) -> Value {
        json!({"type": "object", "properties": {}})
    }
    async fn execute(&self, _: Value, tool: ToolContext) -> Result<ToolResult, ToolError> {
        if let Some(say) = &tool.on_progress {
            say(format!("{} is at work", self.0));
        }
        tokio::time::sleep(ms(self.1)).await;
        let text = self.2.map_err(|why| ToolError::Failed(why.into()))?;
        Ok(ToolResult { content: vec![Content::Text { text: text.into() }], details: Value::Null, child_loop_id: None })
    }
}
