// Another extension, as a test needs one: it asks our language model by VS Code's API and runs the tool it calls.
const vscode = require("vscode");

exports.activate = (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("caller.ask", async () => {
      const lines = [];
      try {
        const [model] = await vscode.lm.selectChatModels({ vendor: "neuralinverse", id: "coding" });
        lines.push(`model ${model.name}, tokens ${await model.countTokens("x".repeat(70))}`);
        const messages = [vscode.LanguageModelChatMessage.User("How warm is it in Oslo?")];
        const tools = [{ name: "weather", description: "The weather of a city", inputSchema: { type: "object", properties: { city: { type: "string" } } } }];
        for (let round = 0; round < 3; round++) {
          const response = await model.sendRequest(messages, { tools, toolMode: vscode.LanguageModelChatToolMode.Auto });
          const calls = [];
          let text = "";
          for await (const part of response.stream) {
            if (part instanceof vscode.LanguageModelTextPart) text += part.value;
            if (part instanceof vscode.LanguageModelToolCallPart) calls.push(part);
          }
          if (text) lines.push(`text ${text.trim()}`);
          if (calls.length === 0) break;
          for (const call of calls) {
            lines.push(`call ${call.name} ${JSON.stringify(call.input)}`);
            messages.push(vscode.LanguageModelChatMessage.Assistant([call]));
            messages.push(vscode.LanguageModelChatMessage.User([new vscode.LanguageModelToolResultPart(call.callId, [new vscode.LanguageModelTextPart(`It is 7 degrees in ${call.input.city}.`)])]));
          }
        }
      } catch (error) {
        lines.push(`error ${error.message}`);
      }
      const document = await vscode.workspace.openTextDocument({ content: lines.join("\n") });
      await vscode.window.showTextDocument(document);
    }),
  );
};
