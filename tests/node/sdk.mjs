// The official Node SDK, unmodified, against the gateway of OPENAI_BASE_URL; prints what it saw as one JSON object.
import OpenAI from "openai";

const ai = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const saw = {};

const whole = await ai.chat.completions.create({ model: "general", messages });
saw.answer = whole.choices[0].message.content;
saw.model = whole.model;
saw.tokens = whole.usage.completion_tokens;

saw.pieces = [];
const stream = await ai.chat.completions.create({ model: "general", messages, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  if (chunk.choices[0]?.delta?.content) saw.pieces.push(chunk.choices[0].delta.content);
  if (chunk.usage) saw.streamedTokens = chunk.usage.completion_tokens;
}

const response = await ai.responses.create({ model: "general", input: "Hello" });
saw.response = response.output_text;
saw.models = [];
for await (const model of ai.models.list()) saw.models.push(model.id);

try {
  await ai.chat.completions.create({ model: "no-such-model", messages });
} catch (error) {
  saw.unknown = { kind: error.constructor.name, status: error.status, message: error.message };
}
console.log(JSON.stringify(saw));
