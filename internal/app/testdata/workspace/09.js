// Send email linked to chat session
await fetch('/api/mailgun/send', {
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
    'Authorization': 'Bearer YOUR_TOKEN'
  },
  body: JSON.stringify({
    workspaceId: 'workspace-123',
    to: 'customer@example.com',
    subject: 'Following up on our conversation',
    text: 'Hi there, following up on our chat...',
    sessionId: 'wses_abc123',
    metadata: {
      source: 'chat_followup'
    }
  })
});
