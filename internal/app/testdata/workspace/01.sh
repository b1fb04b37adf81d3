curl -X POST "https://app.audos.com/api/mailgun/send" \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \
  -d '{
    "workspaceId": "79849043-88b5-40ba-a93a-c1e088c4d9b0",
    "to": "user@example.com",
    "subject": "Test Email from Postman",
    "text": "This is a test email sent from Postman",
    "html": "<h1>Test Email</h1><p>This is a test email sent from Postman.</p>",
    "metadata": {
      "source": "postman",
      "test": true
    }
  }'
