"""VS Code's own AI buttons: none asks for a sign-in, and nothing on the screen counts what somebody has used."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.ai_provider.vscode.ide import Editor, Workspace
from tests.ai_provider.vscode.standin import MODEL, Answer, Gateway
from tests.ai_provider.words import counted

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SIGN_IN = re.compile(r"sign in|copilot|github", re.IGNORECASE)

SHOWN = """
() => {
  const texts = [document.body.innerText];
  for (const element of document.querySelectorAll('[aria-label], [title]')) {
    if (element.checkVisibility()) texts.push(element.getAttribute('aria-label'), element.getAttribute('title'));
  }
  return texts.filter(Boolean).join('\\n');
}
"""
"""All that a person sees or a screen reader says: texts, labels and titles of what is visible."""


async def shown(ide: Editor) -> str:
    return str(await ide.page.evaluate(SHOWN))


async def test_nothing_on_the_screen_offers_a_sign_in(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    workspace.write("broken.json", '{"a": }')
    await ide.open("broken.json")
    await ide.open_chat()
    await expect(ide.page.locator("[id='chat.statusBarEntry']")).to_have_count(0, timeout=30_000)
    assert not SIGN_IN.findall(await shown(ide))
    await ide.page.locator(".editor-instance .view-lines").first.click(button="right")
    menu = ide.page.locator(".context-view .monaco-menu")
    await expect(menu).to_contain_text("Ask Neural Inverse")
    for native in ("Code Review", "Explain", "Fix"):
        await expect(menu.get_by_text(native, exact=True)).to_have_count(0)
    await ide.page.keyboard.press("Escape")


async def test_a_prompt_that_names_nobody_is_answered_by_us(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    gateway.answer = Answer(text="Answered anyway.")
    await ide.open_chat()
    await ide.page.keyboard.press("Control+a")
    await ide.page.keyboard.press("Delete")
    await ide.page.keyboard.type("nobody is named here")
    await expect(ide.prompt).not_to_contain_text("@neuralinverse")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("Answered anyway.", timeout=30_000)
    await expect(ide.questions.last).to_contain_text("@neuralinverse nobody is named here")
    await expect(ide.page.get_by_text(SIGN_IN)).to_have_count(0)


async def test_the_editors_own_fix_and_explain_lead_to_ours(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("broken.json", '{"a": }')
    gateway.answer = Answer(text='```json\n{"a": 1}\n```')
    offered = await ide.quick_fixes("broken.json")
    await offered.filter(has_text=re.compile(r"^\s*Fix\s*$")).click()
    await ide.notice(f"{MODEL} changed line 1 of broken.json")
    assert "Value expected" in gateway.asked[-1]["messages"][-1]["content"]
    await ide.run("Neural Inverse: Reject edit")
    offered = await ide.quick_fixes("broken.json")
    await offered.filter(has_text=re.compile(r"^\s*Explain\s*$")).click()
    await expect(ide.prompt).to_contain_text(re.compile(r"@neuralinverse\s/explain"))
    await ide.dismiss()


async def test_inline_chat_of_a_terminal_opens_ours(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    await ide.run("Terminal: Create New Terminal")
    await expect(ide.page.locator(".terminal-wrapper.active .xterm-helper-textarea")).to_be_focused(timeout=30_000)
    await ide.page.keyboard.press("Control+i")
    await expect(ide.prompt).to_contain_text("@neuralinverse")
    await expect(ide.page.locator(".terminal-inline-chat")).to_have_count(0)
    await ide.run("View: Toggle Panel Visibility")


async def test_nothing_a_person_sees_counts_tokens_money_or_what_is_left(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.sync()
    gateway.answer = Answer(text="A short answer.")
    gateway.completion = " + 1"
    workspace.write("plain.py", "value = 1\n")
    await ide.open("plain.py")
    await ide.open_chat()
    await ide.page.keyboard.type("say something")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text(MODEL, timeout=30_000)
    assert counted(await shown(ide)) == []

    await ide.status.hover()
    await expect(ide.page.locator(".monaco-hover-content").filter(has_text=MODEL)).to_be_visible()
    assert counted(await shown(ide)) == []
    await ide.status.click()
    await expect(ide.page.locator(".quick-input-list")).to_contain_text(f"{MODEL} gave the last answer.")
    assert counted(await shown(ide)) == []
    await ide.page.keyboard.press("Escape")
    await ide.open_chat()
    await ide.page.mouse.move(640, 200)
    await expect(ide.page.locator(".monaco-hover-content").filter(has_text=MODEL)).to_have_count(0)

    await ide.page.locator(".chat-input-toolbars [aria-label*='Model']").first.click()
    offered = ide.page.locator(".chat-model-picker-dropdown")
    await offered.locator(".monaco-list-row").first.hover()
    await expect(ide.page.get_by_text(f"Answered by {MODEL}.").first).to_be_visible()
    await ide.shot("picker-hover")
    assert counted(await shown(ide)) == []
    await ide.page.keyboard.press("Escape")
