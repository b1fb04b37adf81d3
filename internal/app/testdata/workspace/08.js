// Send order confirmation
await fetch('/api/mailgun/send', {
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
    'Authorization': 'Bearer YOUR_TOKEN'
  },
  body: JSON.stringify({
    workspaceId: 'workspace-123',
    to: 'customer@example.com',
    subject: 'Order Confirmation #12345',
    text: 'Thank you for your order!',
    html: '<h1>Order Confirmed</h1><p>Thank you for your order!</p>',
    metadata: {
      type: 'order_confirmation',
      orderId: '12345'
    }
  })
});
