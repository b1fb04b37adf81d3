curl -X POST "https://app.audos.com/api/mailgun/send" \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \
  -d '{
    "workspaceId": "79849043-88b5-40ba-a93a-c1e088c4d9b0",
    "to": "user@example.com",
    "subject": "Email Linked to Session",
    "text": "This email is linked to a workspace session.",
    "html": "<h1>Session Email</h1><p>This email is linked to a workspace session.</p>",
    "sessionId": "wses_7a2219c3d54a45eaa277046abebee943",
    "sessionUuid": "space-me+app1@example.in-7cd75493-4d0a-407b-a8dd-de74f864c6ae",
    "metadata": {
      "campaign": "onboarding",
      "step": "welcome"
    }
  }'
