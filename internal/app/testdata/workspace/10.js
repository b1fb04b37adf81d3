// Get all undelivered emails for retry
const response = await fetch(
  '/api/mailgun/messages/workspace-123?status=pending&limit=100',
  {
    headers: { 'Authorization': 'Bearer YOUR_TOKEN' }
  }
);

const { messages } = await response.json();
console.log(`${messages.length} emails pending delivery`);
