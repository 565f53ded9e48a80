"""The AI gateway: who asks → what task → which model → whose turn → which upstream. Importing this does nothing."""
