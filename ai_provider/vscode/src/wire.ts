/** VS Code's language-model messages as the gateway's, and back. Pure: works on the shape of parts, not their classes. */
import type { Message, Tool, ToolCall } from "./gateway";

/** The parts a message can have: text, a tool call, a tool's result, or data (an image). */
export interface Part {
  readonly value?: unknown;
  readonly callId?: string;
  readonly name?: string;
  readonly input?: object;
  readonly content?: readonly unknown[];
  readonly data?: Uint8Array;
  readonly mimeType?: string;
}

export interface ModelMessage {
  /** 1: the person, 2: the model; anything else is the system. */
  readonly role: number;
  readonly content: readonly unknown[];
}

const USER = 1;
const ASSISTANT = 2;

/**
 * One of VS Code's messages may become several: OpenAI's API wants each tool result as a message of its own, right
 * after the calls it answers and before what the person says next.
 */
export function toMessages(messages: readonly ModelMessage[]): Message[] {
  return messages.flatMap((message) => {
    const parts = message.content as readonly Part[];
    const text = parts.map(textOf).join("");
    const calls = parts.flatMap(callOf);
    if (message.role === ASSISTANT) {
      if (calls.length > 0) return [{ role: "assistant", content: text || null, tool_calls: calls } satisfies Message];
      return text ? [{ role: "assistant", content: text } satisfies Message] : [];
    }
    const results = parts.flatMap(resultOf);
    const said: Message[] = text ? [{ role: message.role === USER ? "user" : "system", content: text }] : [];
    return [...results, ...said];
  });
}

export interface ToolDefinition {
  readonly name: string;
  readonly description: string;
  readonly inputSchema?: object | undefined;
}

export function toTools(tools: readonly ToolDefinition[]): Tool[] {
  return tools.map((tool) => ({
    type: "function",
    function: { name: tool.name, description: tool.description, parameters: tool.inputSchema ?? { type: "object", properties: {} } },
  }));
}

/** The arguments of a call as an object; undefined when the model wrote something else. No arguments are no fault. */
export function inputOf(call: ToolCall): object | undefined {
  const text = call.function.arguments.trim();
  if (text === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function textOf(part: Part): string {
  if (typeof part.value === "string") return part.value;
  if (part.data && part.callId === undefined) return /^(text\/|application\/json)/.test(part.mimeType ?? "") ? new TextDecoder().decode(part.data) : "";
  return "";
}

function callOf(part: Part): ToolCall[] {
  if (part.callId === undefined || part.name === undefined) return [];
  return [{ id: part.callId, type: "function", function: { name: part.name, arguments: JSON.stringify(part.input ?? {}) } }];
}

function resultOf(part: Part): Message[] {
  if (part.callId === undefined || part.content === undefined) return [];
  const content = part.content.map((inner) => textOf(inner as Part) || (typeof inner === "string" ? inner : "")).join("");
  return [{ role: "tool", tool_call_id: part.callId, content }];
}
